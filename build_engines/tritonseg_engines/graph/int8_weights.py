"""Weights stored in int8 that float values meet: a quarter of the bytes, and float arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from tritonseg_engines.graph.surgery import constant_value, maker


def expand_int8_weights(model: ir.Model) -> None:
    """Make plain constants of weights behind a DequantizeLinear, in place.

    Those of layers that read int8 stay: there the two make one integer kernel. Weights in blocks
    stay too.
    """
    graph = model.graph
    for node in [node for node in graph if node.op_type == "DequantizeLinear"]:
        stored, scale, zero_point = [*map(constant_value, node.inputs), None][:3]
        in_blocks = node.attributes.get_int("block_size", 0) != 0
        if stored is None or scale is None or in_blocks:
            continue
        if len(node.inputs) > 2 and node.inputs[2] is not None and zero_point is None:
            continue
        old = node.outputs[0]
        if old.is_graph_output() or any(_computes_in_int8(reader) for reader in _readers(old)):
            continue
        weights = _dequantized(stored, scale, zero_point, node.attributes.get_int("axis", 1))
        plain = ir.val(old.name, const_value=ir.tensor(weights))
        old.replace_all_uses_with(plain)
        graph.remove(node, safe=True)
        graph.register_initializer(plain)


def _dequantized(
    stored: NDArray[Any], scale: NDArray[Any], zero_point: NDArray[Any] | None, axis: int
) -> NDArray[Any]:
    """Return what DequantizeLinear says, in the scale's type."""
    steps = stored.astype(np.float32)
    if zero_point is not None:
        steps = steps - _along(zero_point, stored.ndim, axis).astype(np.float32)
    weights: NDArray[Any] = (steps * _along(scale, stored.ndim, axis)).astype(scale.dtype)
    return weights


def _along(values: NDArray[Any], rank: int, axis: int) -> NDArray[Any]:
    if values.size == 1:
        return values.reshape(())
    return values.reshape([-1 if dim == axis % rank else 1 for dim in range(rank)])


def _readers(value: ir.Value) -> Iterator[ir.Node]:
    """Yield what reads a value, also behind a change of shape."""
    for node in value.consumers():
        yield node
        if node.op_type in ("Transpose", "Reshape"):
            yield from _readers(node.outputs[0])


def _computes_in_int8(reader: ir.Node) -> bool:
    """Whether a node reads something dequantized that is no constant."""
    makers = [maker(value, "DequantizeLinear") for value in reader.inputs]
    return any(one is not None and constant_value(one.inputs[0]) is None for one in makers)
