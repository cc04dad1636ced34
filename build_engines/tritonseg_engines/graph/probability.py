"""Whether scores can say how sure a network is of a class, as far as their operators tell.

Values between 0 and 1 can not where they are a decision already (Greater, Round, Hardmax), nor
where a softmax was over another axis than the classes': then they add up to 1 along that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import onnx_ir as ir

from tritonseg_engines.graph.surgery import constant_value, dimensions
from tritonseg_engines.graph.value_range import (
    ARITHMETIC,
    DEEPEST,
    JOINING,
    KEEPS_RANGE,
    RISING,
    value_range,
)

CLASSES = "C"
OTHER = "-"
Axes = tuple[str, ...] | None
"""`CLASSES` or `OTHER` for each axis; None where it cannot be told."""

DECISIONS = (
    "And", "ArgMax", "ArgMin", "Equal", "Greater", "GreaterOrEqual", "Hardmax", "IsInf", "IsNaN",
    "Less", "LessOrEqual", "Not", "OneHot", "Or", "Sign", "Xor",
)  # fmt: skip
WHOLE_NUMBERS = ("Cast", "Ceil", "Floor", "Round")
"""Leave two values of what lies between two neighbouring ones, and many of anything else."""
SOFTMAXES = ("Softmax", "LogSoftmax")
FLOATS = (
    ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE,
)  # fmt: skip
OF_ONE_VALUE = {
    *KEEPS_RANGE, *RISING, "Clip", "DequantizeLinear", "HardSigmoid", "Neg", "QuantizeLinear",
    "Reciprocal", "Resize", "Sigmoid", "Upsample",
}  # fmt: skip
"""Looked through along their first input."""
OF_MANY = {*ARITHMETIC, *JOINING} - OF_ONE_VALUE


class _Says(IntEnum):
    """What a value says, from the least to what decides for all that is computed with it."""

    NOTHING = 0
    """A constant."""
    DECISION = 1
    DEGREES = 2
    """Decisions that these are computed with leave some of them out."""
    OF_OTHERS = 3
    """Degrees of something else than the classes."""


def says_degrees(value: ir.Value, *, rank: int, class_axis: int | None) -> bool:
    """Return whether a graph's output says to which degree a pixel is of a class.

    Args:
        value: The output.
        rank: Of it.
        class_axis: Of the scores of many classes, or of the only score; None where that has none.
    """
    axes = tuple(CLASSES if axis == class_axis else OTHER for axis in range(rank))
    return _Walk().of(value, axes, DEEPEST) is _Says.DEGREES


class _Walk:
    """What was found; a value with many readers is looked at once."""

    def __init__(self) -> None:
        self._known: dict[tuple[ir.Value, Axes], _Says] = {}

    def of(self, value: ir.Value | None, axes: Axes, depth: int) -> _Says:
        """Return what a value says, looking through at most `depth` operators."""
        if value is None:
            return _Says.NOTHING
        if (value, axes) not in self._known:
            self._known[value, axes] = self._found(value, axes, depth)
        return self._known[value, axes]

    def _found(self, value: ir.Value, axes: Axes, depth: int) -> _Says:
        if constant_value(value) is not None:
            return _Says.NOTHING
        node = value.producer()
        if node is None or depth == 0:
            return _Says.DEGREES
        if node.op_type in DECISIONS or _leaves_two_values(node):
            return _Says.DECISION
        if node.op_type in SOFTMAXES:
            return _Says.DEGREES if _is_over_classes(node, axes) else _Says.OF_OTHERS
        if node.op_type in OF_ONE_VALUE:
            return self.of(node.inputs[0], _axes_before(node, axes), depth - 1)
        if node.op_type in OF_MANY:
            inputs = node.inputs[1:] if node.op_type == "Where" else node.inputs
            return max(self.of(one, _broadcast(one, axes), depth - 1) for one in inputs)
        return _Says.DEGREES


def _leaves_two_values(node: ir.Node) -> bool:
    if node.op_type not in WHOLE_NUMBERS:
        return False
    to = node.attributes.get_int("to", 0)
    if node.op_type == "Cast" and to in (*FLOATS, ir.DataType.BOOL):
        return to == ir.DataType.BOOL
    lowest, highest = value_range(node.inputs[0])
    return math.isfinite(highest - lowest) and math.ceil(highest) - math.floor(lowest) <= 1


def _is_over_classes(node: ir.Node, axes: Axes) -> bool:
    axis = node.attributes.get_int("axis", -1)
    return axes is not None and -len(axes) <= axis < len(axes) and axes[axis] == CLASSES


def _axes_before(node: ir.Node, axes: Axes) -> Axes:
    """Return the axes of a node's first input, by those of its output."""
    if axes is None:
        return None
    if node.op_type == "Transpose":
        perm = node.attributes.get_ints("perm", tuple(reversed(range(len(axes)))))
        before = {source: axes[target] for target, source in enumerate(perm)}
        return tuple(before[axis] for axis in range(len(axes)))
    if node.op_type in ("Reshape", "Flatten"):
        return _axes_before_reshape(node, axes)
    if node.op_type == "Unsqueeze":
        added = _axes_of(node, len(axes))
        return None if added is None else tuple(a for i, a in enumerate(axes) if i not in added)
    if node.op_type in ("Squeeze", "Gather") or node.op_type.startswith("Reduce"):
        return _with_dropped(node, axes)
    return axes


def _axes_before_reshape(node: ir.Node, axes: tuple[str, ...]) -> Axes:
    """Follow the classes through a Reshape that keeps everything before or behind their axis."""
    before, after = (
        None if value is None else dimensions(value) for value in (node.inputs[0], node.outputs[0])
    )
    if before is None or after is None or CLASSES not in axes or len(after) != len(axes):
        return None
    axis = axes.index(CLASSES)
    behind = len(axes) - axis
    if before[: axis + 1] == after[: axis + 1]:
        kept = axis
    elif before[-behind:] == after[-behind:]:
        kept = len(before) - behind
    else:
        return None
    return tuple(CLASSES if one == kept else OTHER for one in range(len(before)))


def _with_dropped(node: ir.Node, axes: tuple[str, ...]) -> Axes:
    """Put back the axes that a node dropped; of one score these were the classes'."""
    if node.op_type.startswith("Reduce") and node.attributes.get_int("keepdims", 1) != 0:
        return axes
    if node.op_type == "Gather":
        indices = constant_value(node.inputs[1])
        if indices is None or indices.ndim != 0:
            return axes if indices is not None and indices.ndim == 1 else None
        dropped: Sequence[int] | None = [node.attributes.get_int("axis", 0) % (len(axes) + 1)]
    else:
        dropped = _axes_of(node, None)
    if dropped is None:
        return None
    rank = len(axes) + len(dropped)
    dropped = [axis % rank for axis in dropped]
    kept, label = iter(axes), OTHER if CLASSES in axes else CLASSES
    return tuple(label if axis in dropped else next(kept) for axis in range(rank))


def _axes_of(node: ir.Node, rank: int | None) -> Sequence[int] | None:
    """Return a node's axes, as attribute or second input; counted from 0 where a rank is given."""
    found = node.attributes.get_ints("axes", None)
    if found is None:
        constant = constant_value(node.inputs[1]) if len(node.inputs) > 1 else None
        found = None if constant is None else np.atleast_1d(constant).tolist()
    return found if found is None or rank is None else [axis % rank for axis in found]


def _broadcast(value: ir.Value | None, axes: Axes) -> Axes:
    """Return the axes of what is broadcast to others: those at their end."""
    dims = None if value is None else dimensions(value)
    if axes is None or dims is None or len(dims) > len(axes):
        return axes
    return axes[len(axes) - len(dims) :]
