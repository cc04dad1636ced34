"""A converted graph as the rules of `lint` see it."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from tritonseg_engines.graph.surgery import (
    all_nodes,
    dimensions,
    editable,
    fed_inputs,
    inferred_values,
    maker,
)
from tritonseg_engines.precision.quantize import LAYER_OPERATORS


class CheckedGraph:
    """A model and what the rules ask of it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        edited = editable(model)
        self.opset = edited.graph.opset_imports.get("", 0)
        self.nodes = list(edited.graph)
        self.every_node = list(all_nodes(edited))
        self.initializers = list(edited.graph.initializers.values())
        self.inputs = fed_inputs(edited.graph)
        self.outputs = list(edited.graph.outputs)
        self._values = inferred_values(edited)

    def type_of(self, value: ir.Value | None) -> ir.DataType | None:
        """Return a tensor's type, or None where ONNX cannot infer it."""
        known = None if value is None else self._values.get(value.name or "")
        return None if known is None else known.dtype

    def shape_of(self, value: ir.Value | None) -> list[int | None] | None:
        """Return a tensor's sizes, None for open ones, or None where ONNX cannot infer its rank."""
        known = None if value is None else self._values.get(value.name or "")
        return None if known is None else dimensions(known)

    def quantized_type(self, value: ir.Value | None) -> ir.DataType | None:
        """Return the type that a tensor is dequantized from, or None."""
        dequantize = maker(value, "DequantizeLinear")
        if dequantize is None:
            return None
        quantized = dequantize.inputs[0]
        return self.type_of(quantized) or (quantized.dtype if quantized is not None else None)

    def layers(self) -> list[ir.Node]:
        """Return the nodes whose weights can be int8."""
        return [node for node in self.nodes if node.op_type in LAYER_OPERATORS]

    @property
    def has_half(self) -> bool:
        """Whether any tensor is fp16."""
        return any(value.dtype == ir.DataType.FLOAT16 for value in self._values.values())


def quantized_source(value: ir.Value | None) -> ir.Value | None:
    """Return what enters the Q/DQ pair, or the lone DQ, that a tensor comes from, or None."""
    dequantize = maker(value, "DequantizeLinear")
    if dequantize is None:
        return None
    quantize = maker(dequantize.inputs[0], "QuantizeLinear")
    return (quantize or dequantize).inputs[0]
