"""Whatever a caller has for a picture, to the pixels that are sent.

What is refused is refused because a mask for it would be silently wrong: unknown value ranges,
channel orders, frames and bit depths are never guessed.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from .._config import ImageLimits
from .._errors import (
    ConfigurationError,
    ImageDecodeError,
    ImageTooLargeError,
    UnsupportedImageError,
)
from .decode import check_pixel_count, render_rgb
from .header import read_sendable_size
from .picture import EncodedImage, Picture, RgbImage, decode_file, image_from_rgb, name_file
from .reading import AS_IT_IS, Reading, scaled_levels

ImageSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | npt.NDArray[Any]"
)


def read_image(source: ImageSource, limits: ImageLimits, reading: Reading = AS_IT_IS) -> RgbImage:
    """Read a picture from a path, from encoded bytes, from Pillow or from an array.

    Args:
        source: A path, the bytes of a file, a PIL image, or an (H, W, 3) uint8 array, RGB, 0–255.
        limits: Sizes and formats to accept.
        reading: Which frame, and what values mean.

    Raises:
        ConfigurationError: `reading` has a frame of what is no file.
        ImageDecodeError: The file cannot be read, or is not a whole picture.
        ImageTooLargeError: It exceeds `limits`.
        UnsupportedImageError: It is of a kind for which a mask would mean guessing.
    """
    if isinstance(source, (np.ndarray, Image.Image)) and reading.frame is not None:
        raise ConfigurationError(
            f"frame is of files, got {type(source).__name__}; pass the frame itself, of a PIL "
            "image as image.copy() after image.seek(frame)"
        )
    if isinstance(source, np.ndarray):
        if reading.value_range is not None:
            source = _array_from_values(source, limits, reading.value_range)
        return _image_from_array(source, limits)
    if isinstance(source, Image.Image):
        return image_from_rgb(*render_rgb(source, limits, reading))
    return decode_file(*_read_encoded(source, limits.max_bytes), limits, reading)


def read_sendable(source: ImageSource, limits: ImageLimits) -> Picture:
    """Read a picture as `read_image` does, but leave a file as it is where that can be sent.

    Args:
        source: A path, the bytes of a file, a PIL image, or an (H, W, 3) uint8 array, RGB, 0–255.
        limits: Sizes and formats to accept.

    Raises:
        ImageDecodeError: The file cannot be read, or is not a picture as far as was looked.
        ImageTooLargeError: It exceeds `limits`.
        UnsupportedImageError: It is of a kind for which a mask would mean guessing.
    """
    if isinstance(source, (np.ndarray, Image.Image)):
        return read_image(source, limits)
    encoded, path = _read_encoded(source, limits.max_bytes)
    with name_file(path):
        size = read_sendable_size(encoded, limits)
    if size is None:
        return decode_file(encoded, path, limits)
    return EncodedImage(
        encoded=encoded, path=path, limits=limits, size=size.displayed, stored_size=size.stored
    )


def load_image(
    source: ImageSource,
    *,
    limits: ImageLimits | None = None,
    frame: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> npt.NDArray[np.uint8]:
    """Read a picture exactly as `SegmentationClient.segment` would.

    For callers that decode once and send to several models, or check before they send; and for
    pictures of which something has to be said, with `frame` and `value_range`.

    Args:
        source: A path, the bytes of a file, a PIL image, or an (H, W, 3) uint8 array, RGB, 0–255.
            With `value_range` an (H, W) array of numbers.
        limits: Sizes and formats to accept; `ImageLimits()` if None.
        frame: Which frame or page of the file to take, from 0 on. Of a TIFF with overviews 0 is
            the picture itself. Without, files of several are refused.
        value_range: (low, high) of grey of more than 8 bits: low and all below become 0, high and
            all above 255, others 255 · (value - low) / (high - low), rounded to the nearest.
            Without, such pictures are refused, and with it all others.

    Returns:
        (H, W, 3) uint8 RGB, 0–255, read-only, in the displayed frame.

    Raises:
        ConfigurationError: `frame` or `value_range` can never be right.
        InvalidImageError: The picture cannot be segmented.
    """
    reading = Reading(frame=frame, value_range=value_range)
    return read_image(source, limits or ImageLimits(), reading).array_hwc


def _read_encoded(source: ImageSource, max_bytes: int) -> tuple[bytes, Path | None]:
    if isinstance(source, (str, os.PathLike)):
        path = _path_of(source)
        return _read_file(path, max_bytes), path
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _check_bytes(source, max_bytes), None
    raise UnsupportedImageError(
        "expected a path, the bytes of an image file, a PIL image or an (H, W, 3) uint8 array, "
        f"got {type(source).__name__}"
    )


def _path_of(source: str | os.PathLike[str]) -> Path:
    try:
        return Path(source)
    except Exception as exc:  # of a class that is anybody's
        raise UnsupportedImageError(
            f"expected a path of text, got {type(source).__name__}: {exc}"
        ) from exc


def _array_from_values(
    array: npt.NDArray[Any], limits: ImageLimits, value_range: tuple[float, float]
) -> npt.NDArray[np.uint8]:
    _check_unmasked(array)
    is_number = np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)
    if not is_number or array.dtype == np.uint8 or array.ndim != 2 or array.size == 0:
        raise UnsupportedImageError(
            "with value_range an array must be (H, W), of integers of more than 8 bits or floats, "
            f"and not empty, got {array.shape} {array.dtype}"
        )
    height, width = array.shape
    check_pixel_count(height, width, limits)
    return np.repeat(scaled_levels(array, value_range)[..., None], 3, axis=2)


def _check_unmasked(array: npt.NDArray[Any]) -> None:
    if isinstance(array, np.ma.MaskedArray):
        raise UnsupportedImageError(
            "an array must not be masked: only you know what stands in its gaps; fill them, as by "
            "array.filled(0)"
        )


def _image_from_array(array: npt.NDArray[Any], limits: ImageLimits) -> RgbImage:
    _check_unmasked(array)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise UnsupportedImageError(
            "an array must be (H, W, 3) uint8, RGB, 0–255 and not empty, "
            f"got {array.shape} {array.dtype}; ranges and channel orders are not guessed"
        )
    height, width = int(array.shape[0]), int(array.shape[1])
    check_pixel_count(height, width, limits)
    # The one copy that any request needs anyway, and from here on the caller may reuse the array.
    size = (height, width)
    return RgbImage(pixels=np.asarray(array).tobytes(), size=size, stored_size=size)


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        status = path.stat()
        # Opening a named pipe would wait for its writer, past every deadline.
        if not stat.S_ISREG(status.st_mode):
            raise ImageDecodeError(f"cannot read image file '{path}': not a regular file")
        with path.open("rb") as file:
            encoded = file.read(max_bytes + 1)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise ImageDecodeError(f"cannot read image file '{path}': {reason}") from exc
    if len(encoded) > max_bytes:
        raise ImageTooLargeError(
            f"image file '{path}' has {max(status.st_size, len(encoded))} bytes, over the limit "
            f"of {max_bytes}; raise ImageLimits.max_bytes to accept it"
        )
    return encoded


def _check_bytes(encoded: bytes | bytearray | memoryview, max_bytes: int) -> bytes:
    try:
        byte_count = encoded.nbytes if isinstance(encoded, memoryview) else len(encoded)
    except ValueError as exc:
        raise UnsupportedImageError(f"cannot read the encoded picture: {exc}") from exc
    if byte_count > max_bytes:
        raise ImageTooLargeError(
            f"the encoded picture has {byte_count} bytes, over the limit of {max_bytes}; "
            "raise ImageLimits.max_bytes to accept it"
        )
    return bytes(encoded)
