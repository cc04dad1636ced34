"""A file that is float16, in whole or in part, as the float32 network that it was made from.

Every precision starts from float32: what float16 rounds, and what it must not round, is decided
again for the runtime that will serve it. Weights keep the values that float16 left of them.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from tritonseg_engines.graph.constants import pass_by_identities
from tritonseg_engines.graph.surgery import inferred_values


def widen_to_single(model: ir.Model, of: ir.DataType = ir.DataType.FLOAT16) -> None:
    """Make every float16 tensor float32, in place, and pass by the Casts between the two.

    Args:
        model: Edited.
        of: The type to replace; float64, which narrows instead, for what computes none.
    """
    nodes = list(ir.traversal.RecursiveGraphIterator(model.graph))
    for graph in {node.graph for node in nodes if node.graph is not None} | {model.graph}:
        for value in [*graph.initializers.values(), *graph.inputs, *graph.outputs]:
            _widen_value(value, of)
    for node in nodes:
        widen_attributes(node, of)
        for value in node.outputs:
            _widen_value(value, of)
    types = inferred_values(model)
    for node in nodes:
        source = node.inputs[0] if node.op_type == "Cast" else None
        if source is None or _cast_to(node) != ir.DataType.FLOAT:
            continue
        known = types.get(source.name or "", source)
        if known.dtype == ir.DataType.FLOAT:
            node.op_type = "Identity"
            node.attributes.clear()
    pass_by_identities(model.graph)


def widen_attributes(node: ir.Node, of: ir.DataType = ir.DataType.FLOAT16) -> None:
    """Make a node that says its output's type say float32 instead of another, in place."""
    for name, attribute in list(node.attributes.items()):
        if attribute.type == ir.AttributeType.TENSOR:
            node.attributes[name] = ir.AttrTensor(name, widened(attribute.as_tensor(), of))
        elif name == _TYPE_ATTRIBUTES.get(node.op_type) and (attribute.as_int() == of):
            node.attributes[name] = ir.AttrInt64(name, ir.DataType.FLOAT)


def widened(tensor: ir.TensorProtocol, of: ir.DataType = ir.DataType.FLOAT16) -> ir.TensorProtocol:
    """Return a constant, in float32 if it is of that type."""
    if tensor.dtype != of:
        return tensor
    return ir.tensor(tensor.numpy().astype(np.float32), name=tensor.name)


_TYPE_ATTRIBUTES = {"Cast": "to", "DequantizeLinear": "output_dtype", "EyeLike": "dtype"}
"""Where operators name the type of their output."""


def _cast_to(node: ir.Node) -> int:
    return node.attributes.get_int("to", 0)


def _widen_value(value: ir.Value, of: ir.DataType) -> None:
    if value.const_value is not None:
        value.const_value = widened(value.const_value, of)
    if value.dtype == of:
        value.type = ir.TensorType(ir.DataType.FLOAT)
