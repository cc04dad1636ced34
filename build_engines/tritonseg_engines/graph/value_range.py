"""Between which bounds a tensor lies whatever the picture, as far as its operators say.

A probability is recognised by what it is, not by the operator that made it: exporters write a
sigmoid as HardSigmoid, as 1 / (1 + exp(-x)), as one minus another, and put casts and resizes
behind it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from tritonseg_engines.graph.surgery import constant_value, dimensions


class Range(NamedTuple):
    """Bounds, infinite where nothing is known."""

    lowest: float
    highest: float

    def within(self, lowest: float, highest: float) -> bool:
        """Whether it lies between two bounds."""
        return lowest <= self.lowest and self.highest <= highest


ANYTHING = Range(-math.inf, math.inf)
UNIT = Range(0.0, 1.0)
DEEPEST = 64
"""Operators that are looked through; what a tail has is a handful."""
KEEPS_RANGE = (
    "Cast", "Identity", "Dropout", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten",
    "Slice", "Split", "Gather", "Expand", "Tile", "MaxPool", "AveragePool", "GlobalAveragePool",
    "GlobalMaxPool", "DepthToSpace", "SpaceToDepth", "ReduceMax", "ReduceMin", "ReduceMean",
)  # fmt: skip
"""Give values of their first input, or averages of them."""
UNIT_OPERATORS = (
    "Sigmoid", "HardSigmoid", "Softmax", "Hardmax", "And", "Equal", "Greater", "GreaterOrEqual",
    "IsInf", "IsNaN", "Less", "LessOrEqual", "Not", "Or", "Xor",
)  # fmt: skip
INDEX_OPERATORS = ("ArgMax", "ArgMin")
COUNTS = ("Shape", "Size")
AVERAGING_MODES = ("nearest", "linear")
"""Of Resize; cubic overshoots."""

Monotone = Callable[[float], float]
RISING: dict[str, Monotone] = {
    "Relu": lambda x: max(x, 0.0),
    "Exp": lambda x: math.exp(x) if x < 700 else math.inf,
    "Round": lambda x: x if math.isinf(x) else float(np.rint(x)),
    "Floor": lambda x: x if math.isinf(x) else math.floor(x),
    "Ceil": lambda x: x if math.isinf(x) else math.ceil(x),
    "Tanh": math.tanh,
}


def value_range(value: ir.Value | None) -> Range:
    """Return the bounds of a value of a graph."""
    return _Ranges().of(value, DEEPEST)


class _Ranges:
    """Bounds that were found; a value with many readers is looked at once."""

    def __init__(self) -> None:
        self._known: dict[ir.Value, Range] = {}

    def of(self, value: ir.Value | None, depth: int) -> Range:
        """Return the bounds of a value, looking through at most `depth` operators."""
        if value is None:
            return ANYTHING
        if value not in self._known:
            self._known[value] = self._found(value, depth)
        return self._known[value]

    def _found(self, value: ir.Value, depth: int) -> Range:
        constant = constant_value(value)
        if constant is not None and constant.size:
            return Range(float(constant.min()), float(constant.max()))
        node = value.producer()
        if node is not None and node.op_type == "DequantizeLinear":
            return self._dequantized(node.inputs[0], depth)
        if node is None or depth == 0 or node.op_type not in KNOWN:
            return ANYTHING
        if node.op_type in UNIT_OPERATORS:
            return UNIT
        if node.op_type in INDEX_OPERATORS:
            return Range(0, _sides_along(node) - 1)
        if node.op_type in COUNTS:
            return Range(0, math.inf)
        inputs = [self.of(one, depth - 1) for one in node.inputs if one is not None]
        return _range_of(node, inputs) if inputs else ANYTHING

    def _dequantized(self, value: ir.Value | None, depth: int) -> Range:
        """Return the bounds of what was quantized: int8 stands for the values that it came from."""
        node = None if value is None else value.producer()
        if node is None or depth == 0:
            return ANYTHING
        if node.op_type == "QuantizeLinear":
            return self.of(node.inputs[0], depth - 1)
        if node.op_type == "QLinearSigmoid":
            return UNIT
        if node.op_type in (*KEEPS_RANGE, "Resize"):
            kept = _range_of(node, [self._dequantized(node.inputs[0], depth - 1)])
            return kept if node.op_type != "Cast" else ANYTHING
        return ANYTHING


def _range_of(node: ir.Node, inputs: list[Range]) -> Range:
    first = inputs[0]
    if node.op_type in KEEPS_RANGE:
        return first
    if node.op_type in JOINING:
        joined = inputs[1:] if node.op_type == "Where" else inputs
        return Range(min(r.lowest for r in joined), max(r.highest for r in joined))
    if node.op_type in ("Resize", "Upsample"):
        mode = node.attributes.get_string("mode", "nearest")
        return first if mode in AVERAGING_MODES else ANYTHING
    if node.op_type in RISING:
        rising = RISING[node.op_type]
        return Range(rising(first.lowest), rising(first.highest))
    if node.op_type == "Clip":
        return _clipped(node, first)
    if node.op_type in ARITHMETIC and (len(inputs) == len(node.inputs)):
        return ARITHMETIC[node.op_type](*inputs)
    return ANYTHING


def _sides_along(node: ir.Node) -> float:
    """Return how many values there are along the axis of a node, infinite if that is unknown."""
    (read,) = node.inputs
    dims = None if read is None else dimensions(read)
    side = None if dims is None else dims[node.attributes.get_int("axis", 0)]
    return math.inf if side is None else side


def _clipped(node: ir.Node, value: Range) -> Range:
    lowest = node.attributes.get_float("min", -math.inf)
    highest = node.attributes.get_float("max", math.inf)
    bounds = [constant_value(one) for one in node.inputs[1:]]
    if bounds and bounds[0] is not None:
        lowest = float(bounds[0])
    if len(bounds) > 1 and bounds[1] is not None:
        highest = float(bounds[1])
    return Range(min(max(value.lowest, lowest), highest), max(min(value.highest, highest), lowest))


def _negated(value: Range) -> Range:
    return Range(-value.highest, -value.lowest)


def _added(one: Range, other: Range) -> Range:
    return Range(one.lowest + other.lowest, one.highest + other.highest)


def _multiplied(one: Range, other: Range) -> Range:
    products = [0.0 if 0.0 in (left, right) else left * right for left in one for right in other]
    return Range(min(products), max(products))


def _reciprocal(value: Range) -> Range:
    if not value.lowest > 0:
        return ANYTHING
    return Range(1 / value.highest, 1 / value.lowest)


def _counted(start: Range, limit: Range, step: Range) -> Range:
    if not step.lowest > 0:
        return ANYTHING
    return Range(start.lowest, max(start.highest, limit.highest))


ARITHMETIC: dict[str, Callable[..., Range]] = {
    "Max": lambda *values: Range(*(max(bounds) for bounds in zip(*values, strict=True))),
    "Min": lambda *values: Range(*(min(bounds) for bounds in zip(*values, strict=True))),
    "Range": _counted,
    "Neg": _negated,
    "Add": _added,
    "Sub": lambda one, other: _added(one, _negated(other)),
    "Mul": _multiplied,
    "Reciprocal": _reciprocal,
    "Div": lambda one, other: _multiplied(one, _reciprocal(other)),
}
JOINING = ("Concat", "Where")
KNOWN = {
    *KEEPS_RANGE, *UNIT_OPERATORS, *INDEX_OPERATORS, *JOINING, *RISING, *ARITHMETIC,
    "Resize", "Upsample", "Clip", *COUNTS,
}  # fmt: skip
"""Everything else, a convolution first of all, ends the search."""
