"""What a build refuses of a file by itself, whatever NVIDIA's compiler makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import onnx_ir as ir

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.chance import refuse_chance
from tritonseg_engines.graph.finite_weights import check_weights
from tritonseg_engines.graph.onnx_file import load_onnx
from tritonseg_engines.graph.readable import readable
from tritonseg_engines.graph.surgery import as_proto
from tritonseg_engines.precision import unconverted_findings

RELEASE = "11"
"""Of TensorRT, whose rules the compiler shares."""


def own_refusals(onnx_path: Path) -> tuple[str, ...]:
    """Return why no build would take a file, each with what to do; empty if one may.

    NVIDIA's compiler takes some of these, and computes something else than the file says.

    Raises:
        OnnxModelError: It cannot be read.
    """
    return tuple(dict.fromkeys(_refusals(load_onnx(onnx_path))))


def _refusals(exported: onnx.ModelProto) -> Iterator[str]:
    try:
        model = readable(exported)
    except OnnxModelError as error:
        yield str(error)
        return
    checks: tuple[Callable[[ir.Graph], object], ...] = (check_weights, refuse_chance)
    for check in checks:
        try:
            check(model.graph)
        except OnnxModelError as error:
            yield str(error)
    findings = unconverted_findings(as_proto(model), RELEASE)
    yield from (f"{finding.where}: {finding.message}" for finding in findings)
