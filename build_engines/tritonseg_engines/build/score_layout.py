"""On which axis the classes of scores stand, as far as a shape tells."""

from __future__ import annotations

from collections.abc import Sequence

CLASS_AXES = {"NCHW": 1, "NHWC": 3}
UNLIKELY_STRETCH = 2.0
"""Between the factors by which rows and columns are fewer than the picture's. No strides are so
different; but some exports give one size whatever the picture's, so this alone says nothing."""
EXACT_STRETCH = 1.02
"""That of one stride for both, but for what rounding leaves."""


def fitting_layouts(
    shape: tuple[int, ...], count: int, size_hw: tuple[int, int], *, sure: bool
) -> list[str]:
    """Return in which layouts a shape has that many classes.

    An axis that has as many entries by chance is told by the other layout's rows and columns,
    which are the picture's; where an axis may have been lost, the layout's own must be.
    """
    if len(shape) != 4:
        return []
    likely = likely_layouts(shape, size_hw)
    fitting = [layout for layout, axis in CLASS_AXES.items() if shape[axis] == count]
    if len(fitting) == 1:
        other_is_likely = set(likely) - set(fitting)
        if fitting[0] not in likely and (not sure or other_is_likely):
            return []
    return fitting


def likely_layouts(shape: Sequence[int], size_hw: tuple[int, int]) -> list[str]:
    """Return in which layouts the rows and columns of a shape of four may be a picture's."""
    return _layouts_within(shape, size_hw, UNLIKELY_STRETCH)


def likeliest_layouts(shape: Sequence[int], size_hw: tuple[int, int]) -> list[str]:
    """Return the layout in which they are a picture's at one stride, or else all likely ones."""
    exact = _layouts_within(shape, size_hw, EXACT_STRETCH)
    return exact if len(exact) == 1 else likely_layouts(shape, size_hw)


def _layouts_within(
    shape: Sequence[int], size_hw: tuple[int, int], most_stretch: float
) -> list[str]:
    cells_hw = {"NCHW": shape[2:], "NHWC": shape[1:3]}
    return [layout for layout in CLASS_AXES if stretch(cells_hw[layout], size_hw) <= most_stretch]


def stretch(cells_hw: Sequence[int], size_hw: tuple[int, int]) -> float:
    """Return between which factors rows and columns are fewer than a picture's, as their ratio."""
    factors = [picture / cells for picture, cells in zip(size_hw, cells_hw, strict=True)]
    return max(factors) / min(factors)
