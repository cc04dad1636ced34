"""Which CPUs compute a quantized graph as ONNX says, read off its weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from tritonseg_engines.graph.surgery import constant_value, editable, maker, values_of_pictures
from tritonseg_steps.int8_cpu import LARGEST_WEIGHT, Int8Cpu

INTEGER_OPERATORS = (
    "ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul",
)  # fmt: skip


def needed_int8_cpu(model: onnx.ModelProto) -> Int8Cpu | None:
    """Return what the int8 weights of a graph are made for, or None if nothing in it is int8.

    Whoever quantized it, this package or another tool: weights beyond -64 to 64, and those that
    cannot be read, are right on CPUs with VNNI only.
    """
    graph = editable(model).graph
    nodes = list(ir.traversal.RecursiveGraphIterator(graph))
    operators = {node.op_type for node in nodes}
    if not operators.isdisjoint(INTEGER_OPERATORS):
        return Int8Cpu.VNNI
    if "DequantizeLinear" not in operators:
        return None
    fits = all(
        largest <= LARGEST_WEIGHT[Int8Cpu.AVX2] for largest in _largest_weights(graph, nodes)
    )
    return Int8Cpu.AVX2 if fits else Int8Cpu.VNNI


def _largest_weights(graph: ir.Graph, nodes: Sequence[ir.Node]) -> Iterator[float]:
    """Yield the magnitude of everything dequantized that no picture decides, NaN if unreadable."""
    of_pictures = values_of_pictures(graph)
    for node in nodes:
        source = node.inputs[0] if node.op_type == "DequantizeLinear" else None
        if source is None or source in of_pictures or source.dtype == ir.DataType.INT32:
            continue  # what int32 is, is a bias
        weights = constant_value(source)
        quantize = maker(source, "QuantizeLinear")
        if weights is None and quantize is not None:
            weights = _quantized(quantize)
        yield float("nan") if weights is None else _magnitude(weights)


def _quantized(quantize: ir.Node) -> NDArray[np.float64] | None:
    """Return the steps that a constant is quantized to, NaN with an unknown scale, or None."""
    weights, scale = (constant_value(value) for value in quantize.inputs[:2])
    if weights is None:
        return None
    axis = quantize.attributes.get_int("axis", 1)
    return _in_steps(weights, np.array(np.nan) if scale is None else scale, axis)


def _in_steps(weights: NDArray[Any], scale: NDArray[Any], axis: int) -> NDArray[np.float64]:
    if scale.ndim == 1 and scale.size > 1:
        scale = scale.reshape([-1 if dim == axis else 1 for dim in range(weights.ndim)])
    steps: NDArray[np.float64] = np.rint(weights.astype(np.float64) / scale)
    return steps


def _magnitude(weights: NDArray[Any]) -> float:
    return float(np.abs(weights.astype(np.float64)).max(initial=0))
