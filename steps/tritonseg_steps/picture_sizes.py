"""Which pictures a model takes: its resize policy and the sizes of its network together."""

from __future__ import annotations

import math

from tritonseg_steps.geometry import Geometry, Size
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.resize_policy import KeepRatio, ResizePolicy

MOST_PIXELS = 32_000_000
"""Of what a picture is enlarged to, before anything is cut off; by a bound of its short side alone
there is no other."""
ANY_SQUARE = (1, 1)
"""All squares become one size."""


def picture_refusal(resize: ResizePolicy, sizes: NetworkSizes, image_hw: Size) -> str | None:
    """Return why a picture cannot be taken and what to do, or None if it can.

    Args:
        resize: Of the model.
        sizes: Of the input that its network takes.
        image_hw: Of the picture, in pixels.
    """
    geometry = resize.geometry(image_hw)
    height, width = max(geometry.network_hw, geometry.content_hw, key=math.prod)
    if height * width > MOST_PIXELS and geometry.content_hw != image_hw:
        return (
            f"this model makes {height}x{width} (height x width) of a picture of {_by(image_hw)}, "
            f"expected at most {MOST_PIXELS} pixels; crop the picture, or build the model with a "
            "bound of the long side in its resize policy"
        )
    refusal = sizes.refusal(geometry)
    if refusal is not None and isinstance(resize, KeepRatio):
        return _bounds_refusal(resize, sizes, geometry) or refusal
    return refusal


def _bounds_refusal(resize: KeepRatio, sizes: NetworkSizes, geometry: Geometry) -> str | None:
    """Return why, where the picture's scale has no part in it.

    The policy makes all pictures of one ratio alike, so that enlarging one changes nothing.
    """
    open_sides = [
        (found, most)
        for fixed, found, most in zip(
            sizes.input_hw, geometry.network_hw, sizes.at_most_hw or (None, None), strict=True
        )
        if fixed is None
    ]
    bounds = {"long_side": resize.long_side, "short_side": resize.short_side}
    given = "".join(f", {name}: {most}" for name, most in bounds.items() if most is not None)
    becomes = (
        f"got {_by(geometry.image_hw)}, which becomes {_by(geometry.network_hw)} whatever its "
        f"scale, by resize: {{policy: keep_ratio{given}}}"
    )
    if any(found < sizes.at_least for found, _ in open_sides):
        within_reach = min(resize.geometry(ANY_SQUARE).network_hw) >= sizes.at_least
        advice = (
            "its sides are too unequal: crop the picture"
            if within_reach
            else "build the model with larger bounds"
        )
        return f"this model's network takes at least {sizes.at_least} pixels, {becomes}; {advice}"
    if any(most is not None and found > most for found, most in open_sides):
        return (
            f"this model's network takes at most {_by(sizes.at_most_hw or (0, 0))}, {becomes}; "
            "build the model with smaller bounds"
        )
    return None


def _by(size_hw: Size) -> str:
    return f"{size_hw[0]}x{size_hw[1]}"
