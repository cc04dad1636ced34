"""Which CPUs compute a quantized graph as ONNX says, read off its weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from tritonseg_engines.graph.onnx_file import producers
from tritonseg_steps.int8_cpu import LARGEST_WEIGHT, Int8Cpu

INTEGER_OPERATORS = (
    "ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul",
)  # fmt: skip


def needed_int8_cpu(model: onnx.ModelProto) -> Int8Cpu | None:
    """Return what the int8 weights of a graph are made for, or None if nothing in it is int8.

    Whoever quantized it, this package or another tool: weights beyond -64 to 64, and those that
    cannot be read, are right on CPUs with VNNI only.
    """
    operators = {node.op_type for node in model.graph.node}
    if not operators.isdisjoint(INTEGER_OPERATORS):
        return Int8Cpu.VNNI
    if "DequantizeLinear" not in operators:
        return None
    fits = all(largest <= LARGEST_WEIGHT[Int8Cpu.AVX2] for largest in _largest_weights(model.graph))
    return Int8Cpu.AVX2 if fits else Int8Cpu.VNNI


def _largest_weights(graph: onnx.GraphProto) -> Iterator[float]:
    """Yield the magnitude of every constant that is dequantized, NaN where it cannot be read."""
    producer, constants = producers(graph), _constants(graph)
    for node in graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        if node.input[0] in constants:
            yield _magnitude(constants[node.input[0]])
            continue
        quantize = producer.get(node.input[0])
        if quantize is not None and quantize.input[0] in constants:
            scale = constants.get(quantize.input[1], np.array(np.nan))
            yield _magnitude(_in_steps(constants[quantize.input[0]], scale, _axis(quantize)))


def _in_steps(weights: NDArray[Any], scale: NDArray[Any], axis: int) -> NDArray[np.float64]:
    if scale.ndim == 1 and scale.size > 1:
        scale = scale.reshape([-1 if dim == axis else 1 for dim in range(weights.ndim)])
    steps: NDArray[np.float64] = np.rint(weights.astype(np.float64) / scale)
    return steps


def _axis(quantize: onnx.NodeProto) -> int:
    return next((int(entry.i) for entry in quantize.attribute if entry.name == "axis"), 1)


def _magnitude(weights: NDArray[Any]) -> float:
    return float(np.abs(weights.astype(np.float64)).max(initial=0))


def _constants(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    found = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found
