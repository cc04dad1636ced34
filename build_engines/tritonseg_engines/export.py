"""A zoo network with weights, as an ONNX file that TensorRT 8.6 to 11 and OpenVINO read."""

from __future__ import annotations

import collections
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import onnxslim
import torch
from torch import nn

from tritonseg_engines.atomic import temporary_sibling
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.onnx_file import load_onnx, save_onnx
from tritonseg_engines.graph.static_resize import resize_by_constant_scales

OPSET = 17
"""The newest that TensorRT 8.6 documents as supported, and with it every newer one."""
RELATIVE_TOLERANCE = 1e-4
"""Largest difference to torch that is accepted, relative to the largest score."""
DYNAMIC_TRACE_SIZE = (128, 256)


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


def export_onnx(
    network: nn.Module,
    path: Path,
    *,
    size_hw: tuple[int, int] | None,
    input_name: str = "image",
    output_name: str = "scores",
) -> ExportReport:
    """Write the network as ONNX with an open batch axis, and compare it with torch.

    Args:
        network: In evaluation mode; maps `(N, 3, H, W)` to `(N, C, h, w)`.
        path: File to write, whole or not at all.
        size_hw: Height and width in pixels, or None to leave both open (which keeps a few nodes
            that compute sizes at run time).
        input_name: Name of the input tensor.
        output_name: Name of the output tensor.

    Returns:
        The operators and the largest difference to torch, for a batch of two.

    Raises:
        OnnxModelError: The file does not agree with torch.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    traced = temporary_sibling(path)
    try:
        _trace(network, traced, size_hw, input_name, output_name)
        model = onnxslim.slim(onnx.load(traced))
    finally:
        traced.unlink(missing_ok=True)
    if size_hw is not None:
        resize_by_constant_scales(model)
    difference, largest = _compare(network, model, size_hw or DYNAMIC_TRACE_SIZE)
    if difference > RELATIVE_TOLERANCE * largest:
        raise OnnxModelError(
            f"{path.name}: expected ONNX Runtime to agree with torch within "
            f"{RELATIVE_TOLERANCE:g} of the largest score {largest:.4g}, "
            f"got a difference of {difference:.4g}"
        )
    save_onnx(model, path)
    load_onnx(path)
    return ExportReport(
        path=path,
        operators=dict(collections.Counter(n.op_type for n in model.graph.node).most_common()),
        max_difference=difference,
        max_score=largest,
    )


def _trace(
    network: nn.Module,
    path: Path,
    size_hw: tuple[int, int] | None,
    input_name: str,
    output_name: str,
) -> None:
    height, width = size_hw or DYNAMIC_TRACE_SIZE
    open_axes = {0: "N"} if size_hw else {0: "N", 2: "H", 3: "W"}
    open_output_axes = {0: "N"} if size_hw else {0: "N", 2: "h", 3: "w"}
    with warnings.catch_warnings():
        # The TorchScript exporter is deprecated, but the newer one cannot write opset 17: it
        # falls back to 18 without an error wherever the graph has a Pad (torch 2.13).
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, height, width),),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=[output_name],
            dynamic_axes={input_name: open_axes, output_name: open_output_axes},
        )


def _compare(
    network: nn.Module, model: onnx.ModelProto, size_hw: tuple[int, int]
) -> tuple[float, float]:
    """Return the largest difference between the two, and the largest score."""
    rng = np.random.default_rng(0)
    batch_nchw = rng.standard_normal((2, 3, *size_hw)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (actual,) = session.run(None, {session.get_inputs()[0].name: batch_nchw})
    with torch.inference_mode():
        expected = network(torch.from_numpy(batch_nchw)).numpy()
    return float(np.abs(actual - expected).max()), float(np.abs(expected).max())
