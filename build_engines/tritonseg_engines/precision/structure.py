"""Whether a converted graph is one that engines are built from, before anything is computed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import onnx

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.byte_pictures import refuse_bytes_inside
from tritonseg_engines.graph.onnx_file import default_opset
from tritonseg_engines.graph.plain_resizes import refuse_other_places
from tritonseg_engines.graph.surgery import editable
from tritonseg_engines.precision import Converted, Finding, lint, tensorrt_releases

PLACEMENT_RULES: Final = ("residual", "activation")
"""Broken by another quantizer's own choice of places, they cost a kernel, not a mask."""
CHOICE_RULES: Final = (*PLACEMENT_RULES, "per-channel", "not-quantized")
"""Broken by whoever quantized an export as they wanted it."""
SYMMETRY_RULES: Final = ("zero-point", "bias", "half-quantized")
"""TensorRT's; OpenVINO takes int8 in every form."""
FINDINGS_NAMED: Final = 4


def check_conversion(
    converted: Converted, precision: str, *, tolerated: Collection[str] = ()
) -> list[Finding]:
    """Refuse what no conversion should have made.

    Args:
        converted: In its precision.
        precision: Its name.
        tolerated: Rules that may be broken, because this project did not choose the places of
            Q/DQ; where that costs speed, they are returned.

    Raises:
        OnnxModelError: A rule is broken; the message has the node and the rule.
    """
    findings = lint(converted.model, kept_float=converted.kept_float, releases=())
    refused = [finding for finding in findings if finding.rule not in tolerated]
    if refused:
        raise OnnxModelError(
            f"the {precision} graph is not one that engines are built from: "
            f"{describe_findings(refused)}{_remedy(refused[0])}"
        )
    return [finding for finding in findings if finding.rule in PLACEMENT_RULES]


def check_releases(model: onnx.ModelProto) -> None:
    """Refuse what no TensorRT would read.

    Raises:
        OnnxModelError: There is no release that reads all operators at the graph's opset, none
            that takes the type of a tensor, or all read a Resize as another.
    """
    edited = editable(model)
    refuse_bytes_inside(edited)
    refuse_other_places(edited)
    if not releases_of(model):
        messages = dict.fromkeys(f.message for f in lint(model)[:FINDINGS_NAMED])
        raise OnnxModelError(
            "no TensorRT from 8.6 to 11 reads all operators of this graph at opset "
            f"{default_opset(model)}: {'; '.join(messages)}"
        )


def releases_of(model: onnx.ModelProto) -> list[str]:
    """Return the TensorRT releases that read a graph, oldest first."""
    return tensorrt_releases({node.op_type for node in model.graph.node}, default_opset(model))


def _remedy(finding: Finding) -> str:
    """Return what a user may do about what is no fault of the export's."""
    if finding.rule == "fp32-left":
        return f"; --keep-fp32 {finding.where!r} allows it"
    return ""


def describe_findings(findings: Sequence[Finding]) -> str:
    """Return the first of them, and how many more there are."""
    first = findings[0]
    more = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
    return f"{first.where}: {first.message} ({first.rule}){more}"
