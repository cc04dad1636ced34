"""What only the caller knows about a picture: which frame is meant, and what its values mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from .._errors import ConfigurationError, UnsupportedImageError

SCALED_MODES: Final = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I", "F"})
"""Pillow's for grey of more than 8 bits."""
_ROWS: Final = 256
"""Scaled at once, so that intermediate numbers of 8 bytes each take little memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How to read one picture.

    Attributes:
        frame: Which of several frames or pages, from 0 on; None if there must be only one.
        value_range: The grey values that become 0 and 255; None for 8-bit pictures.
    """

    frame: int | None = None
    value_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.frame is not None and (type(self.frame) is not int or self.frame < 0):
            raise ConfigurationError(f"frame must be a whole number from 0 on, got {self.frame!r}")
        if self.value_range is None:
            return
        try:
            low, high = map(float, self.value_range)
        except (TypeError, ValueError, OverflowError):
            low = high = math.nan
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ConfigurationError(
                f"value_range must be (low, high) with low below high, got {self.value_range!r}"
            )


AS_IT_IS: Final = Reading()


def scaled_levels(
    values_hw: npt.NDArray[np.generic], value_range: tuple[float, float]
) -> npt.NDArray[np.uint8]:
    """Return 255 · (value - low) / (high - low), rounded to the nearest level, clipped to 0–255.

    Args:
        values_hw: (H, W) numbers.
        value_range: (low, high).

    Raises:
        UnsupportedImageError: There is a value that is no finite number.
    """
    low, high = value_range
    levels = np.empty(values_hw.shape, np.uint8)
    for top in range(0, len(values_hw), _ROWS):
        rows = values_hw[top : top + _ROWS].astype(np.float64)
        if not np.isfinite(rows).all():
            raise UnsupportedImageError(
                "expected finite values, got NaN or infinity; replace them, only you know by what"
            )
        rows = (rows - low) * (255.0 / (high - low))
        levels[top : top + _ROWS] = np.clip(np.rint(rows), 0, 255)
    return levels


def scaled_image(image: Image.Image, value_range: tuple[float, float]) -> Image.Image:
    """Return a loaded grey image in one of `SCALED_MODES` as one of mode L."""
    return Image.fromarray(scaled_levels(np.asarray(image), value_range))
