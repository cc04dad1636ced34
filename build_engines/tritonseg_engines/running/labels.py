"""Label pictures: PNGs whose pixels are class indices, as they stand in the file.

A viewer shows 1-, 2- and 4-bit greys stretched to 0-255, and so does Pillow; as labels they are 0,
1, 2 and so on.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, PngImagePlugin

from tritonseg_engines.errors import CalibrationError

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

# Source: PNG specification, 11.2.2 (IHDR).
_HEADER_BYTES: Final = 33
_BIT_DEPTH: Final = 24
_COLOR_TYPE: Final = 25
_GRAY, _PALETTE = 0, 3
_COLOR_TYPES: Final = {2: "RGB", 4: "grey with transparency", 6: "RGB with transparency"}

HIGHEST_LABEL: Final = 255


def read_labels(path: Path, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Read the labels of a picture.

    Args:
        path: A PNG, grey or with a palette, of 1 to 16 bits.
        size_hw: Height and width of the picture as it is displayed.

    Returns:
        `(H, W)` uint8, as in the file: class indices, and what is to be ignored.

    Raises:
        CalibrationError: It is something else, damaged, of another size, or has values above 255.
    """
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise CalibrationError(f"{path}: expected labels, cannot be read: {error}") from error
    if not encoded.startswith(SIGNATURE) or len(encoded) < _HEADER_BYTES:
        raise CalibrationError(
            f"{path}: expected labels as a PNG, got another kind of file; JPEG and its like change "
            "values, so labels must come from before they were saved as that"
        )
    if encoded[_COLOR_TYPE] not in (_GRAY, _PALETTE):
        kind = _COLOR_TYPES.get(encoded[_COLOR_TYPE], "another kind")
        raise CalibrationError(
            f"{path}: expected labels as class indices, in a PNG that is grey or has a palette, "
            f"got {kind}; a colour for every class must be turned into its index first"
        )
    return _narrowed(path, _stored_values(path, encoded, size_hw))


def _stored_values(
    path: Path, encoded: bytes, size_hw: tuple[int, int]
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    try:
        image = PngImagePlugin.PngImageFile(io.BytesIO(encoded))
        _check_frame(path, image, size_hw)
        values_hw = np.asarray(image)
        # Decoding skips the checksums of pixels, and stops at the last of them.
        PngImagePlugin.PngImageFile(io.BytesIO(encoded)).verify()
    except CalibrationError:
        raise
    except Exception as error:  # on corrupt files Pillow raises all kinds
        raise CalibrationError(
            f"{path}: expected labels, got a damaged PNG, which cannot be read or whose pixels "
            f"would be other classes: {error}; fetch it again"
        ) from error
    bits = encoded[_BIT_DEPTH]
    if encoded[_COLOR_TYPE] == _GRAY and bits < 8:
        # Pillow gives a bit as a bool, and stretches 2 and 4 of them to 0-255.
        values_hw = values_hw.astype(np.uint8) // (1 if bits == 1 else 255 // (2**bits - 1))
    return values_hw


def _check_frame(path: Path, image: PngImagePlugin.PngImageFile, size_hw: tuple[int, int]) -> None:
    """Check the header before a pixel is decoded."""
    if (image.height, image.width) != size_hw:
        raise CalibrationError(
            f"{path}: expected labels of {size_hw[0]}x{size_hw[1]} pixels, as the picture is "
            f"displayed, got {image.height}x{image.width}"
        )
    if image.is_animated:
        raise CalibrationError(f"{path}: expected labels as a single picture, got several frames")
    exif = image.info.get("exif")
    if exif is not None and image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        raise CalibrationError(
            f"{path}: expected labels that lie as the picture is displayed, got an EXIF "
            "orientation; turn the pixels instead"
        )


def _narrowed(path: Path, values_hw: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    highest = int(values_hw.max())
    if highest > HIGHEST_LABEL:
        raise CalibrationError(
            f"{path}: expected class indices up to {HIGHEST_LABEL}, got {highest} in a PNG of 16 "
            "bits; instance ids (class * 1000 + number, for one) must become classes first"
        )
    return np.ascontiguousarray(values_hw, np.uint8)
