"""What came of cutting a picture into tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Blend: TypeAlias = Literal["center", "confidence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TilingReport:
    """How a picture was cut, and what that means for its mask.

    Attributes:
        tile_count: How many tiles; 1 for a picture that fits one, which is sent as it is.
        size_hw: Height and width of a tile in pixels; those at the lower and right border may be
            smaller.
        overlap_hw: Least pixels that neighbours share; 0 along an axis that is not cut.
        blend: Which tile decided where two overlap.
        is_exact: Whether the mask is the one that the whole picture gives at once, but for pixels
            whose two best classes lie as close together as rounding.
        reason: Why it is not; None where it is.
    """

    tile_count: int
    size_hw: tuple[int, int]
    overlap_hw: tuple[int, int]
    blend: Blend
    is_exact: bool
    reason: str | None
