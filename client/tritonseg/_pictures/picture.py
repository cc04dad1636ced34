"""A picture on its way to the server: as pixels, or as the file that holds them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from .._config import ImageLimits
from .._errors import InvalidImageError
from .decode import decode_image
from .reading import AS_IT_IS, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class RgbImage:
    """A picture as it is displayed and sent: a snapshot that nobody can change any more.

    Attributes:
        pixels: H × W × 3 bytes, RGB, 0–255, row by row.
        size: (H, W) as displayed, in pixels.
        stored_size: (H, W) as stored; differs from `size` where EXIF turns the picture.
    """

    pixels: bytes
    size: tuple[int, int]
    stored_size: tuple[int, int]

    @property
    def array_hwc(self) -> npt.NDArray[np.uint8]:
        """The pixels as a read-only (H, W, 3) uint8 view, RGB, 0–255."""
        return np.frombuffer(self.pixels, np.uint8).reshape(*self.size, 3)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class EncodedImage:
    """An image file of which only the header was read; decoded on the first demand for pixels.

    Attributes:
        encoded: The whole file.
        path: Where it came from, for messages; None for bytes.
        limits: What was accepted, and on which background.
        size: (H, W) as displayed, in pixels, by the header.
        stored_size: (H, W) as stored; differs from `size` where EXIF turns the picture.
    """

    encoded: bytes
    path: Path | None
    limits: ImageLimits
    size: tuple[int, int]
    stored_size: tuple[int, int]
    _rgb: RgbImage | None = field(default=None, init=False)

    @property
    def rgb(self) -> RgbImage:
        """The decoded picture.

        Raises:
            ImageDecodeError: What follows the header is truncated or corrupt.
        """
        # Without a lock: threads that ask at once both decode, and either result will do.
        rgb = self._rgb
        if rgb is None:
            rgb = self._rgb = decode_file(self.encoded, self.path, self.limits)
        return rgb

    @property
    def array_hwc(self) -> npt.NDArray[np.uint8]:
        """The pixels as a read-only (H, W, 3) uint8 view, RGB, 0–255."""
        return self.rgb.array_hwc


Picture: TypeAlias = RgbImage | EncodedImage


def decode_file(
    encoded: bytes, path: Path | None, limits: ImageLimits, reading: Reading = AS_IT_IS
) -> RgbImage:
    """Decode a file's bytes.

    Raises:
        InvalidImageError: As by `decode_image`; the message names `path`.
    """
    with name_file(path):
        return image_from_rgb(*decode_image(encoded, limits, reading))


def image_from_rgb(rgb: Image.Image, stored_size: tuple[int, int]) -> RgbImage:
    """Take the pixels out of an image in mode RGB, as it is displayed."""
    return RgbImage(pixels=rgb.tobytes(), size=(rgb.height, rgb.width), stored_size=stored_size)


@contextlib.contextmanager
def name_file(path: Path | None) -> Iterator[None]:
    """Begin the message of an `InvalidImageError` with the file's path, if there is one."""
    try:
        yield
    except InvalidImageError as error:
        if path is None:
            raise
        raise type(error)(f"image file '{path}': {error}") from error
