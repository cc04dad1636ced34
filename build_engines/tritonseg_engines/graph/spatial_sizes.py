"""Sizes that a graph computes from its input's, as far as they are the sides of a tensor.

Exporters that leave height and width open let Resize, Reshape and Slice read sizes from Shape,
Gather, Slice and Concat nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import onnx_ir as ir

from tritonseg_engines.graph.axis_map import Sampling
from tritonseg_engines.graph.surgery import constant_value, given_input


@dataclass(frozen=True, slots=True)
class Side:
    """The length of an axis of height or width: side / stride + excess, as `Sampling` has it.

    Attributes:
        along: 0 for the input's height, 1 for its width.
        sampling: Of a tensor of that length.
    """

    along: int
    sampling: Sampling


Length = int | Side | None
"""A number, a side, or nothing that is known."""
SidesOf = Callable[[ir.Value], Mapping[int, Side] | None]
"""The sides of a tensor by axis; None where it is not known how it lies over the picture."""


class SpatialSizes:
    """Reads what vectors of sizes hold.

    Args:
        sides_of: Of tensors that Shape is asked of.
        dims_of: What inference says of the other axes.
    """

    def __init__(
        self, sides_of: SidesOf, dims_of: Callable[[ir.Value], list[int | None] | None]
    ) -> None:
        self._sides_of = sides_of
        self._dims_of = dims_of

    def lengths(self, value: ir.Value | None) -> list[Length] | None:
        """Return what a vector (or a number) of sizes holds; None if even how many is unknown."""
        constant = constant_value(value)
        if constant is not None:
            return [int(one) if float(one).is_integer() else None for one in constant.ravel()]
        node = None if value is None else value.producer()
        if node is None or node.domain not in ("", "ai.onnx"):
            return None
        if node.op_type == "Shape":
            return self._shape(node)
        if node.op_type == "Concat":
            parts = [self.lengths(one) for one in node.inputs]
            return [one for part in parts for one in part or ()] if all(parts) else None
        read = self.lengths(node.inputs[0]) if node.inputs else None
        return None if read is None else _of_lengths(node, read)

    def _shape(self, node: ir.Node) -> list[Length] | None:
        (read,) = node.inputs
        dims = None if read is None else self._dims_of(read)
        if read is None or dims is None:
            return None
        sides = self._sides_of(read) or {}
        every: list[Length] = [sides.get(axis, dim) for axis, dim in enumerate(dims)]
        start = node.attributes.get_int("start", 0)
        return every[start : node.attributes.get_int("end", len(every))]


def _of_lengths(node: ir.Node, read: list[Length]) -> list[Length] | None:
    if node.op_type in ("Cast", "Identity", "Squeeze", "Unsqueeze"):
        return read
    if node.op_type == "Gather":
        places = constant_value(node.inputs[1])
        known = places is not None and all(-len(read) <= int(p) < len(read) for p in places.flat)
        return [read[int(place)] for place in places.flat] if places is not None and known else None
    if node.op_type == "Slice":
        return _sliced(node, read)
    other = constant_value(given_input(node, 1))
    if node.op_type in ("Mul", "Div") and other is not None and other.size in (1, len(read)):
        factors = np.broadcast_to(other.ravel(), len(read))
        return [
            _times(one, Fraction(float(by)) if node.op_type == "Mul" else 1 / Fraction(float(by)))
            if by
            else None
            for one, by in zip(read, factors, strict=True)
        ]
    return None


def _sliced(node: ir.Node, read: list[Length]) -> list[Length] | None:
    start, end, step = (_number(given_input(node, place)) for place in (1, 2, 4))
    if start is None or end is None or (step is None and given_input(node, 4) is not None):
        return None
    return read[start:end:step]


def _number(value: ir.Value | None) -> int | None:
    constant = constant_value(value)
    return None if constant is None or constant.size != 1 else int(constant.flat[0])


def _times(length: Length, factor: Fraction) -> Length:
    if isinstance(length, Side) and length.sampling.excess == 0 and factor > 0:
        return Side(length.along, Sampling(length.sampling.stride / factor))
    if isinstance(length, int) and (length * factor).denominator == 1:
        return int(length * factor)
    return None
