"""What a pixel is made of when a picture is resized: the filter that the network's trainer used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from tritonseg_steps.antialiasing import antialiased
from tritonseg_steps.float_antialiasing import antialiased_floats
from tritonseg_steps.geometry import Size
from tritonseg_steps.validation import exact_keys, one_of

AnyNumber = TypeVar("AnyNumber", np.uint8, np.float32)
OPENCV_FLAGS: Final = {
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
}
INTERPOLATIONS: Final = (*OPENCV_FLAGS, "nearest")
ANTIALIASED: Final = ("bilinear", "bicubic")
"""Filters that can be as wide as what they shrink; "area" always is, and "nearest" never."""
REQUIRED: Final = ("interpolation", "antialias")
ADDED: Final = ("after_normalization",)
"""Keys that the documents of older models have not, and that older steps do not know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resampling:
    """How a picture is resized.

    Attributes:
        interpolation: "bilinear", "bicubic", "nearest" (the pixel in which the centre lies, as
            Pillow does) or "area" (the mean of what becomes one pixel, as OpenCV does).
        antialias: Whether the filter grows with what it shrinks, as Pillow's and torchvision's do,
            and OpenCV's do not.
        after_normalization: Whether what is resized are the network's floats, as by trainers that
            normalise first, and not the picture's bytes, which are rounded to levels and held in
            0-255 again.
    """

    interpolation: str = "bilinear"
    antialias: bool = False
    after_normalization: bool = False

    def __post_init__(self) -> None:
        one_of("resize.interpolation", self.interpolation, INTERPOLATIONS)
        for name in ("antialias", *ADDED):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(
                    f"resize.{name}: expected true or false, got {getattr(self, name)!r}"
                )
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
        return self._resized(image_hwc, size_hw, antialiased)

    def resized_floats(self, plane_hw: NDArray[np.float32], size_hw: Size) -> NDArray[np.float32]:
        """Return one channel of a normalised picture at another size, neither rounded nor clipped.

        Args:
            plane_hw: `(H, W)` float32, any range.
            size_hw: Height and width, in pixels.

        Returns:
            `(h, w)` float32.
        """
        return self._resized(plane_hw, size_hw, antialiased_floats)

    def _resized(
        self,
        values: NDArray[AnyNumber],
        size_hw: Size,
        filtered: Callable[[NDArray[AnyNumber], Size, str], NDArray[AnyNumber]],
    ) -> NDArray[AnyNumber]:
        """Return what has height and width first at another size, antialiased by `filtered`."""
        if self.antialias:
            return filtered(values, size_hw, self.interpolation)
        if self.interpolation == "nearest":
            return _nearest(values, size_hw)
        flags = OPENCV_FLAGS[self.interpolation]
        resized = cv2.resize(values, size_hw[::-1], interpolation=flags)
        return resized.astype(values.dtype, copy=False)

    def to_json(self) -> dict[str, Any]:
        """Return a document that `from_json` reads back to an equal value.

        Older steps can read it where what is in `ADDED` is off.
        """
        return {name: value for name, value in asdict(self).items() if name not in ADDED or value}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Resampling:
        """Read what `to_json` wrote.

        Raises:
            ValueError: A key is unknown, missing, or holds something else than documented. Models
                that were built before there was `after_normalization` are resized as bytes.
        """
        exact_keys("resampling", document, REQUIRED, ADDED)
        return cls(**document)


def _nearest(values: NDArray[AnyNumber], size_hw: Size) -> NDArray[AnyNumber]:
    """Return what has height and width first at another size, each pixel as it was.

    OpenCV's `INTER_NEAREST` takes other pixels, and its `INTER_NEAREST_EXACT` reads beyond sides of
    more than 32767 pixels (4.11).
    """
    rows, columns = (
        _centres(source, target) for source, target in zip(values.shape[:2], size_hw, strict=True)
    )
    return values.take(rows, axis=0).take(columns, axis=1)


def _centres(source: int, target: int) -> NDArray[np.int64]:
    """Return the source pixel in which the centre of every target pixel lies, `(target,)`.

    Positions are added up one by one, because that is how Pillow comes to those near a border.
    Source: Pillow, `src/libImaging/Geometry.c`, `ImagingScaleAffine`.
    """
    steps = np.full(target, source / target)
    steps[0] /= 2
    centres: NDArray[np.int64] = np.minimum(np.cumsum(steps).astype(np.int64), source - 1)
    return centres
