"""What a file brings along that was quantized before it came here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import onnx
import onnx_ir as ir

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.surgery import (
    all_nodes,
    constant_value,
    dimensions,
    editable,
    fed_inputs,
    maker,
)
from tritonseg_engines.precision.quantize import LAYER_OPERATORS

DYNAMIC_OPERATORS = (
    "ConvInteger", "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulInteger",
    "MatMulIntegerToFloat",
)  # fmt: skip
INTEGER_LAYERS = ("QGemm", "QLinearConv", "QLinearMatMul")
DYNAMIC_LAYERS = ("ConvInteger", "DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat")
SCALE_OF_BATCH = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul")


class Form(str, Enum):
    """How a file says that it computes in int8."""

    PAIRS = "Q/DQ pairs"
    OPERATORS = "integer operators"
    DYNAMIC = "dynamic scales"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExistingInt8:
    """The int8 of a file.

    Attributes:
        form: How it says so.
        layers: Names of the nodes that compute in int8.
        float_layers: How many other layers it has.
    """

    form: Form
    layers: tuple[str, ...]
    float_layers: int

    def __str__(self) -> str:
        """Return it in a few words."""
        total = len(self.layers) + self.float_layers
        return f"{self.form.value}, {len(self.layers)} of {total} layers"


def existing_int8(model: onnx.ModelProto) -> ExistingInt8 | None:
    """Return what of a network computes in int8, or None where nothing does.

    Weights alone that are stored in int8 are none: what they meet is float.
    """
    graph = editable(model).graph
    form = _form(graph)
    if form is None:
        return None
    layers, others = [], 0
    for node in graph:
        if node.op_type in (*INTEGER_LAYERS, *DYNAMIC_LAYERS) or _between_pairs(node):
            layers.append(node.name or "")
        elif node.op_type in LAYER_OPERATORS:
            others += 1
    return ExistingInt8(form=form, layers=tuple(layers), float_layers=others)


def refuse_scales_of_a_batch(model: ir.Model) -> None:
    """Refuse scales that are taken from all pictures of a batch together.

    Raises:
        OnnxModelError: There is such a node, and the batch axis is open.
    """
    (fed,) = fed_inputs(model.graph)
    if (dimensions(fed) or [None])[0] == 1:
        return
    operator = scales_of_a_batch(model)
    if operator is not None:
        raise OnnxModelError(
            f"the export is quantized already with dynamic scales ({operator}): they are of the "
            "whole batch, so that a picture's mask depends on the pictures beside it; quantize it "
            "with fixed scales (onnxruntime's quantize_static), or export it for a batch of one "
            "picture"
        )


def scales_of_a_batch(model: ir.Model) -> str | None:
    """Return the operator that takes its scale from all pictures of a batch, None without one."""
    operators = (node.op_type for node in all_nodes(model))
    return next((operator for operator in operators if operator in SCALE_OF_BATCH), None)


def _form(graph: ir.Graph) -> Form | None:
    operators = {node.op_type for node in graph}
    if not operators.isdisjoint(DYNAMIC_OPERATORS):
        return Form.DYNAMIC
    if any(name in INTEGER_LAYERS or name.startswith("QLinear") for name in operators):
        return Form.OPERATORS
    return Form.PAIRS if any(_quantized_values(graph)) else None


def _quantized_values(graph: ir.Graph) -> Iterator[bool]:
    """Yield for every QuantizeLinear whether it quantizes what the network computes."""
    for node in graph:
        if node.op_type == "QuantizeLinear":
            yield constant_value(node.inputs[0]) is None


def _between_pairs(node: ir.Node) -> bool:
    """Whether a layer reads input and weights out of int8."""
    return node.op_type in LAYER_OPERATORS and all(
        maker(value, "DequantizeLinear") is not None for value in node.inputs[:2]
    )
