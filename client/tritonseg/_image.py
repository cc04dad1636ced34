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

from ._config import ImageLimits
from ._decode import check_pixel_count, render_rgb
from ._errors import ImageDecodeError, ImageTooLargeError, UnsupportedImageError
from ._header import read_sendable_size
from ._picture import EncodedImage, Picture, RgbImage, decode_file, image_from_rgb, name_file

ImageSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | npt.NDArray[Any]"
)


def read_image(source: ImageSource, limits: ImageLimits) -> RgbImage:
    """Read a picture from a path, from encoded bytes, from Pillow or from an array.

    Args:
        source: A path, the bytes of a file, a PIL image, or an (H, W, 3) uint8 array, RGB, 0–255.
        limits: Sizes and formats to accept.

    Raises:
        ImageDecodeError: The file cannot be read, or is not a whole picture.
        ImageTooLargeError: It exceeds `limits`.
        UnsupportedImageError: It is of a kind for which a mask would mean guessing.
    """
    if isinstance(source, np.ndarray):
        return _image_from_array(source, limits)
    if isinstance(source, Image.Image):
        return image_from_rgb(*render_rgb(source, limits))
    return decode_file(*_read_encoded(source, limits.max_bytes), limits)


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


def load_image(source: ImageSource, *, limits: ImageLimits | None = None) -> npt.NDArray[np.uint8]:
    """Read a picture exactly as `SegmentationClient.segment` would.

    For callers that decode once and send to several models, or check before they send.

    Args:
        source: A path, the bytes of a file, a PIL image, or an (H, W, 3) uint8 array, RGB, 0–255.
        limits: Sizes and formats to accept; `ImageLimits()` if None.

    Returns:
        (H, W, 3) uint8 RGB, 0–255, read-only, in the displayed frame.

    Raises:
        InvalidImageError: The picture cannot be segmented.
    """
    return read_image(source, limits or ImageLimits()).array_hwc


def _read_encoded(source: ImageSource, max_bytes: int) -> tuple[bytes, Path | None]:
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return _read_file(path, max_bytes), path
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _check_bytes(source, max_bytes), None
    raise UnsupportedImageError(
        "expected a path, the bytes of an image file, a PIL image or an (H, W, 3) uint8 array, "
        f"got {type(source).__name__}"
    )


def _image_from_array(array: npt.NDArray[Any], limits: ImageLimits) -> RgbImage:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise UnsupportedImageError(
            "an array must be (H, W, 3) uint8, RGB, 0–255 and not empty, "
            f"got {array.shape} {array.dtype}; ranges and channel orders are not guessed"
        )
    height, width = int(array.shape[0]), int(array.shape[1])
    check_pixel_count(height, width, limits)
    # The one copy that any request needs anyway, and from here on the caller may reuse the array.
    size = (height, width)
    return RgbImage(pixels=array.tobytes(), size=size, stored_size=size)


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
    byte_count = encoded.nbytes if isinstance(encoded, memoryview) else len(encoded)
    if byte_count > max_bytes:
        raise ImageTooLargeError(
            f"the encoded picture has {byte_count} bytes, over the limit of {max_bytes}; "
            "raise ImageLimits.max_bytes to accept it"
        )
    return bytes(encoded)
