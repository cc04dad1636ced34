"""Whether a converted graph is one that engines are built from, before anything is computed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import onnx

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.onnx_file import default_opset
from tritonseg_engines.graph.surgery import all_nodes, editable
from tritonseg_engines.precision import Converted, Finding, lint, tensorrt_releases
from tritonseg_engines.precision.lint import parser_findings
from tritonseg_engines.precision.operators import full_name

PLACEMENT_RULES: Final = ("residual", "activation")
"""Broken by another quantizer's own choice of places, they cost a kernel, not a mask."""
CHOICE_RULES: Final = (*PLACEMENT_RULES, "per-channel", "not-quantized")
"""Broken by whoever quantized an export as they wanted it."""
SYMMETRY_RULES: Final = ("zero-point", "bias", "half-quantized")
"""TensorRT's; OpenVINO takes int8 in every form."""
RELEASE_RULES: Final = ("opset", "operator")
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
        OnnxModelError: There is no release that reads all operators at the graph's opset, or none
            takes what one of them says, or all compute another; the message has the node.
    """
    if not releases_of(model):
        unread = [f for f in lint(model) if f.rule in RELEASE_RULES][:FINDINGS_NAMED]
        messages = dict.fromkeys(f"{f.where}: {f.message}" for f in unread)
        raise OnnxModelError(
            "no TensorRT from 8.6 to 11 reads all operators of this graph at opset "
            f"{default_opset(model)}: {'; '.join(messages)}"
        )
    findings = parser_findings(model)
    if findings:
        raise OnnxModelError(f"TensorRT does not take this graph: {describe_findings(findings)}")


def releases_of(model: onnx.ModelProto) -> list[str]:
    """Return the TensorRT releases that read a graph, oldest first."""
    operators = {full_name(node) for node in all_nodes(editable(model))}
    return tensorrt_releases(operators, default_opset(model))


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
