"""Which sizes an export with an open size takes, found by asking it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from tritonseg_engines.build.export_truth import ExportTruth
from tritonseg_engines.build.pictures_choice import OPEN_SIZE
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.running.networks import CANNOT_RUN
from tritonseg_steps.geometry import Size
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.resize_policy import FixedSize, KeepRatio, Native, ResizePolicy

SMALL = ((97, 131), (61, 200), (45, 118))
"""Heights and widths that no usual stride divides; some networks take no small ones."""
SMALL_SIDES = tuple(sorted(sum(SMALL, ())))
SMALL_SQUARE = 118
"""Taken for both sides where `SMALL` are: none of their widths is less, and no height more."""
DIVISORS = (*range(2, 65), 70, 72, 80, 84, 96, 98, 112, 128, 140, 160, 168, 192, 196, 224, 256)
SQUARES = (256, 336, 420, 480, 512, 576, 672, 720, 840, 980)
"""Between them multiples of all usual divisors, for networks that take no small pictures."""
RARE_SQUARE = 401
"""From where on a multiple of a divisor that divides none of those is tried."""
MOST_SIDE = 4096
"""Longer sides of an export that is known to refuse large pictures are not asked for."""

Takes = Callable[[Size], bool]


def find_sizes(
    truth: ExportTruth, input_hw: tuple[int | None, int | None], resize: ResizePolicy
) -> NetworkSizes:
    """Return the sizes that the export takes, as far as they are multiples from some size on.

    Up to which size is asked only if it refuses the one that builds are judged on by default.

    Args:
        truth: The export.
        input_hw: Height and width that it declares, None where open.
        resize: Where that leads to one size, no others are of interest.

    Raises:
        OnnxModelError: It takes none of those tried, or squares only.
    """
    sizes = NetworkSizes(height=input_hw[0], width=input_hw[1])
    if sizes.fixed_hw is not None or isinstance(resize, FixedSize):
        return sizes
    export = _Export(truth)
    coarse, side = _some_taken(sizes, export.takes) or (None, 0)
    fine = None if coarse is None else _with_divisor(coarse, side, export.takes)
    if fine is None:
        raise export.refusal_of_all()
    if fine.multiple_of > DIVISORS[-1]:
        raise export.refusal_of_others(side)
    wider_hw = fine.nearest((side, side + fine.multiple_of))
    only_squares_asked = all(len(set(fine.nearest(size_hw))) == 1 for size_hw in SMALL)
    if only_squares_asked and not export.takes(wider_hw):
        raise export.refusal_of(wider_hw, side)
    fine = _with_least(fine, side, export.takes)
    return _with_most(fine, resize, export.takes)


class _Export:
    """Asks the export, and no size twice."""

    def __init__(self, truth: ExportTruth) -> None:
        self._truth = truth
        self._answers: dict[Size, str | None] = {}

    def takes(self, size_hw: Size) -> bool:
        if size_hw not in self._answers:
            self._answers[size_hw] = self._reason(size_hw)
        return self._answers[size_hw] is None

    def _reason(self, size_hw: Size) -> str | None:
        try:
            self._truth.run(np.zeros((1, 3, *size_hw), np.float32))
        except OnnxModelError as error:
            return str(error).removeprefix(CANNOT_RUN)
        return None

    def refusal_of(self, size_hw: Size, side: int) -> OnnxModelError:
        height, width = size_hw
        return OnnxModelError(
            f"the export takes {side}x{side}, expected it to take {height}x{width} too, got: "
            f"{self._answers[size_hw]}; give a resize policy that leads to one size (stretch or "
            "fit_pad)"
        )

    def refusal_of_others(self, side: int) -> OnnxModelError:
        return OnnxModelError(
            f"the export takes {side}x{side} and no other size that was tried, though its file "
            f"says any: write resize: {{policy: stretch, height: {side}, width: {side}}}, or "
            "fit_pad"
        )

    def refusal_of_all(self) -> OnnxModelError:
        reasons = sorted({reason for reason in self._answers.values() if reason is not None})
        if len(reasons) == 1:
            return OnnxModelError(f"the export cannot be run: {reasons[0]}")
        return OnnxModelError(
            "the export cannot be run at any of the sizes tried, up to multiples of "
            f"{DIVISORS[-1]}: {reasons[0]}; if it takes one size alone, give input.height and "
            "input.width"
        )


def _some_taken(sizes: NetworkSizes, takes: Takes) -> tuple[NetworkSizes, int] | None:
    """Return sizes of which many are taken, perhaps not all, and a side that is for both.

    What the sides must be multiples of divides what they are multiples of here.
    """
    for divisor in (1, *DIVISORS):
        coarse = replace(sizes, multiple_of=divisor)
        if all(takes(coarse.nearest(size_hw)) for size_hw in SMALL):
            return coarse, _multiple(SMALL_SQUARE, divisor)
    for side in (*SQUARES, *(_multiple(RARE_SQUARE, divisor) for divisor in DIVISORS)):
        if takes(sizes.nearest((side, side))):
            return replace(sizes, multiple_of=side), side
    return None


def _with_divisor(coarse: NetworkSizes, side: int, takes: Takes) -> NetworkSizes:
    """Return the same with the least divisor that is enough where pictures are not small.

    A network that needs 80 pixels takes multiples of 40 among small ones, but so it does all
    others farther out. There the remainders are those at which it was asked before, so that
    what fails again is no matter of size.

    Args:
        coarse: Sizes that are taken, multiples of more than they must be, perhaps.
        side: A multiple that is taken for both sides.
        takes: Asks the export.
    """

    def enough(divisor: int) -> bool:
        fine = replace(coarse, multiple_of=divisor)
        odd_ones = ((side + height, side + width) for height, width in SMALL)
        return all(
            takes(fine.nearest(size_hw))
            for size_hw in ((side + divisor, side + divisor), *odd_ones)
        )

    divisor = coarse.multiple_of
    if divisor == 1 or enough(1):
        return replace(coarse, multiple_of=1)
    for prime in _primes(divisor):
        while divisor % prime == 0 and enough(divisor // prime):
            divisor //= prime
    return replace(coarse, multiple_of=divisor)


def _with_least(sizes: NetworkSizes, side: int, takes: Takes) -> NetworkSizes:
    """Return the same from the smallest side on that is taken for both.

    Args:
        sizes: All of which are taken if they are large enough.
        side: One that is taken for both.
        takes: Asks the export.
    """
    divisor = sizes.multiple_of

    def takes_square(units: int) -> bool:
        return takes(sizes.nearest((units * divisor, units * divisor)))

    smaller = (-(-one // divisor) for one in SMALL_SIDES if one < side)
    taken = next((units for units in smaller if takes_square(units)), side // divisor)
    least = _last_taken(taken, 0, takes_square)
    return replace(sizes, at_least=least * divisor if least > 1 else 1)


def _with_most(sizes: NetworkSizes, resize: Native | KeepRatio, takes: Takes) -> NetworkSizes:
    """Return the same up to the largest height and width, if that of the gate is too large.

    Where it is the pixels that are too many, not those of one side, the bound has the shape of the
    gate's pictures.

    Args:
        sizes: All of which are taken if they are not too large.
        resize: Leads to them.
        takes: Asks the export.
    """
    judged_hw = sizes.nearest(resize.geometry(OPEN_SIZE).network_hw)
    if takes(judged_hw):
        return sizes
    unit = math.lcm(sizes.multiple_of, resize.size_divisor)
    height, width = (_longest(sizes, axis, unit, takes) for axis in (0, 1))
    both_hw = (min(height, judged_hw[0]), min(width, judged_hw[1]))
    if takes(sizes.nearest(both_hw)):
        return replace(sizes, at_most_hw=(height, width))
    steps = max(both_hw) // unit

    def part_hw(step: int) -> Size:
        height, width = (
            fixed or max(unit, most * step // steps // unit * unit)
            for fixed, most in zip(sizes.input_hw, both_hw, strict=True)
        )
        return height, width

    taken = _last_taken(0, steps, lambda step: takes(part_hw(step)))
    return replace(sizes, at_most_hw=part_hw(taken))


def _longest(sizes: NetworkSizes, axis: int, unit: int, takes: Takes) -> int:
    """Return the largest height, or width for axis 1, that is taken beside a small other side."""
    small = sizes.nearest((SMALL_SIDES[0], SMALL_SIDES[0]))
    if sizes.input_hw[axis] is not None:
        return small[axis]

    def takes_side(units: int) -> bool:
        return takes((units * unit, small[1]) if axis == 0 else (small[0], units * unit))

    most = MOST_SIDE // unit
    units = most if takes_side(most) else _last_taken(0, most, takes_side)
    return max(units, 1) * unit


def _last_taken(taken: int, refused: int, takes: Callable[[int], bool]) -> int:
    """Return what is taken and next to what is not, found by halving between one and another."""
    while abs(taken - refused) > 1:
        middle = (taken + refused) // 2
        if takes(middle):
            taken = middle
        else:
            refused = middle
    return taken


def _multiple(side: int, divisor: int) -> int:
    return -(-side // divisor) * divisor


def _primes(number: int) -> Iterator[int]:
    """Yield the prime factors of a number, each once."""
    prime = 2
    while number > 1:
        if number % prime == 0:
            yield prime
        while number % prime == 0:
            number //= prime
        prime += 1
