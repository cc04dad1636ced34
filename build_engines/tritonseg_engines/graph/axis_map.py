"""Which cells of its input the cells of an operator's output are made of, along one axis.

All maps are monotone and count cells from any origin on, negative ones too: they are what an
operator does far from every border.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Window:
    """A window that moves by `step`: of a convolution or pool, or what is cut out or added.

    Attributes:
        step: Cells of the input from one output cell to the next.
        start: First cell of the input for output cell 0; negative for padding.
        reach: Cells from the first to the last of a window.
    """

    step: int = 1
    start: int = 0
    reach: int = 0

    def first(self, cell: int) -> int:
        """Return the first input cell that an output cell is made of."""
        return cell * self.step + self.start

    def last(self, cell: int) -> int:
        """Return the last one."""
        return cell * self.step + self.start + self.reach


SAME = Window()


@dataclass(frozen=True, slots=True)
class Transposed:
    """A transposed convolution, whose input cells each write a window.

    Attributes:
        step: Cells of the output from one window to the next.
        start: First cell of the output for input cell 0; negative for what is cropped.
        reach: Cells from the first to the last of a window.
    """

    step: int
    start: int
    reach: int

    def first(self, cell: int) -> int:
        """Return the first input cell that an output cell is made of."""
        return -(-(cell - self.start - self.reach) // self.step)

    def last(self, cell: int) -> int:
        """Return the last one."""
        return (cell - self.start) // self.step


@dataclass(frozen=True, slots=True)
class Resized:
    """Interpolation by a constant factor.

    Source: ONNX operator Resize, version 19, `coordinate_transformation_mode` and `nearest_mode`.

    Attributes:
        scale: Output cells for one of the input.
        half_pixel: Whether the edges of both grids coincide, or else their first cells.
        mode: "linear", "cubic", or one of `NEAREST`.
    """

    scale: Fraction
    half_pixel: bool
    mode: str

    def first(self, cell: int) -> int:
        """Return the first input cell that an output cell is made of."""
        place = self._place(cell)
        if self.mode in NEAREST:
            return NEAREST[self.mode](place)
        floor = math.floor(place)
        return floor - 1 if self.mode == "cubic" and place != floor else floor

    def last(self, cell: int) -> int:
        """Return the last one."""
        place = self._place(cell)
        if self.mode in NEAREST:
            return NEAREST[self.mode](place)
        ceiling = math.ceil(place)
        return ceiling + 1 if self.mode == "cubic" and place != ceiling else ceiling

    def _place(self, cell: int) -> Fraction:
        if not self.half_pixel:
            return cell / self.scale
        return (cell + Fraction(1, 2)) / self.scale - Fraction(1, 2)


NEAREST: dict[str, Callable[[Fraction], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round_prefer_floor": lambda place: math.ceil(place - Fraction(1, 2)),
    "round_prefer_ceil": lambda place: math.floor(place + Fraction(1, 2)),
}

"""How a place becomes the nearest cell, by ONNX's `nearest_mode`."""

AxisMap = Window | Transposed | Resized


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a tensor's cells lie over the input's pixels, along one axis.

    Where a side of the input is a multiple of the grid of the network, the tensor has exactly
    side / stride + excess cells.

    Attributes:
        stride: Pixels of the input from one cell to the next.
        excess: Cells more than side / stride.
    """

    stride: Fraction = Fraction(1)
    excess: int = 0
