"""A zoo network with weights, as an ONNX file that TensorRT 8.6 to 11 and OpenVINO read."""

from __future__ import annotations

import collections
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from tritonseg_engines.atomic import temporary_sibling
from tritonseg_engines.errors import OnnxModelError, SpecificationError
from tritonseg_engines.graph.constants import gather_constants
from tritonseg_engines.graph.onnx_file import save_onnx
from tritonseg_engines.graph.static_shapes import write_static_shapes
from tritonseg_engines.graph.surgery import as_proto, editable
from tritonseg_engines.zoo.network import SegmentationNetwork

OPSET = 17
"""The newest that TensorRT 8.6 documents as supported, and with it every newer one."""
RELATIVE_TOLERANCE = 1e-4
"""Largest difference to torch that is accepted, relative to the largest score."""
OPEN_BATCH_COMPARED = 2
OPEN_SIDE = 128
"""Height for tracing with open sizes, where the network takes as little; twice it is the width."""
ODD_EXCESS_HW = (37, 75)
"""Added for a second comparison with open sizes: odd sizes round at every halving."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportReport:
    """What was written and how well it agrees with torch.

    Attributes:
        path: The ONNX file.
        operators: How many nodes of each type, most first.
        max_difference: Largest absolute difference of the scores between ONNX Runtime and torch.
        max_score: Largest absolute score in that comparison.
    """

    path: Path
    operators: dict[str, int]
    max_difference: float
    max_score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Form:
    """What the exported graph looks like from outside; None where it is left open."""

    size_hw: tuple[int, int] | None
    batch: int | None
    input_name: str
    output_name: str

    @property
    def open_axes(self) -> dict[str, dict[int, str]]:
        batch = {0: "N"} if self.batch is None else {}
        if self.size_hw is not None:
            return {self.input_name: batch, self.output_name: batch}
        return {
            self.input_name: {**batch, 2: "H", 3: "W"},
            self.output_name: {**batch, 2: "h", 3: "w"},
        }


def export_onnx(
    network: nn.Module,
    path: Path,
    *,
    size_hw: tuple[int, int] | None,
    batch: int | None = None,
    input_name: str = "image",
    output_name: str = "scores",
) -> ExportReport:
    """Write the network as ONNX, and compare it with torch.

    Args:
        network: In evaluation mode; maps `(N, 3, H, W)` to `(N, C, h, w)`.
        path: File to write, whole or not at all.
        size_hw: Height and width in pixels, or None to leave both open (which keeps a few nodes
            that compute sizes at run time).
        batch: Pictures at once, or None to leave it open.
        input_name: Name of the input tensor.
        output_name: Name of the output tensor.

    Returns:
        The operators and the largest difference to torch.

    Raises:
        SpecificationError: The network cannot be exported with that size, or without one.
        OnnxModelError: The graph does not agree with torch.
    """
    form = _Form(size_hw=size_hw, batch=batch, input_name=input_name, output_name=output_name)
    sizes_hw = list(_compared_sizes(network, size_hw))
    path.parent.mkdir(parents=True, exist_ok=True)
    traced = temporary_sibling(path)
    try:
        _trace(network, traced, sizes_hw[0], form)
        model = onnx.load(traced)
    finally:
        traced.unlink(missing_ok=True)
    edited = editable(model)
    gather_constants(edited)
    write_static_shapes(edited)
    model = as_proto(edited)
    differences = [_compare(network, model, size, batch) for size in sizes_hw]
    difference, largest = max(differences)
    save_onnx(model, path)
    return ExportReport(
        path=path,
        operators=dict(collections.Counter(n.op_type for n in model.graph.node).most_common()),
        max_difference=difference,
        max_score=largest,
    )


def _compared_sizes(
    network: nn.Module, size_hw: tuple[int, int] | None
) -> Iterator[tuple[int, int]]:
    """Yield the size to trace with, and with open sizes another one."""
    name = type(network).__name__
    minimum = network.minimum_side if isinstance(network, SegmentationNetwork) else 1
    reason = network.fixed_size_reason if isinstance(network, SegmentationNetwork) else None
    if size_hw is None and reason is not None:
        raise SpecificationError(
            f"height and width of {name} cannot stay open: {reason}. Give a height and a width; "
            "one export serves one size"
        )
    if size_hw is None:
        height = max(OPEN_SIDE, minimum)
        yield height, 2 * height
        yield height + ODD_EXCESS_HW[0], height + ODD_EXCESS_HW[1]
        return
    if min(size_hw) < minimum:
        raise SpecificationError(
            f"expected height and width of at least {minimum} pixels for {name}, "
            f"got {size_hw[0]}x{size_hw[1]}"
        )
    yield size_hw


def _trace(network: nn.Module, path: Path, size_hw: tuple[int, int], form: _Form) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        # The TorchScript exporter is deprecated, but the newer one cannot write opset 17: it
        # falls back to 18 without an error wherever the graph has a Pad (torch 2.13).
        warnings.simplefilter("ignore", DeprecationWarning)
        # Sizes that become constants are meant: they are those of the export.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            network,
            (torch.zeros(form.batch or 1, 3, *size_hw),),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[form.input_name],
            output_names=[form.output_name],
            dynamic_axes=form.open_axes,
        )


def _compare(
    network: nn.Module, model: onnx.ModelProto, size_hw: tuple[int, int], batch: int | None
) -> tuple[float, float]:
    """Return the largest difference between the two, and the largest score."""
    shape = (batch or OPEN_BATCH_COMPARED, 3, *size_hw)
    batch_nchw = np.random.default_rng(0).standard_normal(shape, np.float32)
    with torch.inference_mode():
        # One at a time: half the memory, and pictures that influence each other would show.
        scores = [network(image_chw[None]) for image_chw in torch.from_numpy(batch_nchw)]
        expected = torch.cat(scores).numpy()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (actual,) = session.run(None, {session.get_inputs()[0].name: batch_nchw})
    difference, largest = float(np.abs(actual - expected).max()), float(np.abs(expected).max())
    if not difference <= RELATIVE_TOLERANCE * largest:  # not a number is no agreement either
        raise OnnxModelError(
            f"expected ONNX Runtime to agree with torch within {RELATIVE_TOLERANCE:g} of the "
            f"largest score {largest:.4g} at {size_hw[0]}x{size_hw[1]}, "
            f"got a difference of {difference:.4g}"
        )
    return difference, largest
