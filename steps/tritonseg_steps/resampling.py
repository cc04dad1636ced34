"""What a pixel is made of when a picture is resized: the filter that the network's trainer used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tritonseg_steps.antialiasing import antialiased
from tritonseg_steps.geometry import Size
from tritonseg_steps.validation import exact_keys, one_of

OPENCV_FLAGS: Final = {
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "nearest": cv2.INTER_NEAREST_EXACT,
    "area": cv2.INTER_AREA,
}
ANTIALIASED: Final = ("bilinear", "bicubic")
"""Filters that can be as wide as what they shrink; "area" always is, and "nearest" never."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resampling:
    """How a picture is resized.

    Attributes:
        interpolation: "bilinear", "bicubic", "nearest" (the pixel in which the centre lies, as
            Pillow does) or "area" (the mean of what becomes one pixel, as OpenCV does).
        antialias: Whether the filter grows with what it shrinks, as Pillow's and torchvision's do,
            and OpenCV's do not.
    """

    interpolation: str = "bilinear"
    antialias: bool = False

    def __post_init__(self) -> None:
        one_of("resize.interpolation", self.interpolation, OPENCV_FLAGS)
        if not isinstance(self.antialias, bool):
            raise ValueError(f"resize.antialias: expected true or false, got {self.antialias!r}")
        if self.antialias and self.interpolation not in ANTIALIASED:
            raise ValueError(
                f"resize.antialias: expected interpolation: {' or '.join(ANTIALIASED)}, got "
                f"{self.interpolation!r}"
            )

    def resized(self, image_hwc: NDArray[np.uint8], size_hw: Size) -> NDArray[np.uint8]:
        """Return a picture at another size.

        Args:
            image_hwc: `(H, W, 3)` uint8.
            size_hw: Height and width, in pixels.

        Returns:
            `(h, w, 3)` uint8.
        """
        if self.antialias:
            return antialiased(image_hwc, size_hw, self.interpolation)
        flags = OPENCV_FLAGS[self.interpolation]
        return cv2.resize(image_hwc, size_hw[::-1], interpolation=flags).astype(
            np.uint8, copy=False
        )

    def to_json(self) -> dict[str, Any]:
        """Return a document that `from_json` reads back to an equal value."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Resampling:
        """Read what `to_json` wrote.

        Raises:
            ValueError: A key is unknown, missing, or holds something else than documented.
        """
        exact_keys("resampling", document, [field.name for field in fields(cls)])
        return cls(**document)
