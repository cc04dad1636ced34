"""The bytes of an image file to RGB pixels, for callers that send files instead of pixels.

Decoders are what attackers reach first, so little is decoded here: three formats, one frame, 8 bits
a channel, nothing transparent, no colours but sRGB, and a size that the header has to admit before
any pixel is read.
Whoever has something else decodes it at home, where guesses can be made, and sends the pixels.

EXIF orientation is applied, so that the mask is in the frame in which the picture is displayed.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import (
    ExifTags,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from tritonseg_steps.color_profile import changes_colors

MAX_BYTES: Final = 20_000_000
MAX_PIXELS: Final = 32_000_000
"""A picture of 81 megapixels, 231 KB as a file, took 774 MB to decode; see docs/client.md."""
OPAQUE_MODES: Final = ("RGB", "L", "P", "1")

_WIDE_RAW_MODE: Final = ";16"
"""In Pillow's names of how pixels are stored, as in RGB;16B, of which it keeps the high byte."""

# Source: PNG specification (third edition), 11.3.2.6, and ITU-T H.273, tables 2 and 3: BT.709 and
# unspecified; BT.709, unspecified, BT.601 and sRGB.
_SRGB_PRIMARIES: Final = (b"\x01", b"\x02")
_SRGB_TRANSFERS: Final = (b"\x01", b"\x02", b"\x06", b"\x0d")

SEND_PIXELS: Final = "send the pixels as IMAGE instead"

# Called directly, not through Image.open: that one compares the size with a limit of the whole
# process, and tries every other decoder there is.
_DECODERS: Final[dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}


class EncodedImageError(ValueError):
    """The bytes are not a picture that is decoded here; its text is meant for the caller."""


def decode_rgb(encoded: bytes) -> NDArray[np.uint8]:
    """Decode an image file.

    Args:
        encoded: The whole file.

    Returns:
        `(H, W, 3)` uint8 RGB, as displayed.

    Raises:
        EncodedImageError: It is over a limit, of another kind, or broken.
    """
    image = _open(encoded)
    try:
        _check_header(image)
        image.load()
        # Once more: a PNG may declare a transparent colour behind its pixels.
        _check_header(image)
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        displayed = image if orientation == 1 else ImageOps.exif_transpose(image)
        rgb = displayed if displayed.mode == "RGB" else displayed.convert("RGB")
    except EncodedImageError:
        raise
    except Exception as error:
        # On broken files Pillow's decoders raise all kinds, some with addresses in the text.
        raise EncodedImageError(
            "the picture cannot be decoded; the file is cut off or corrupt"
        ) from error
    return np.asarray(rgb)


def pixel_count(encoded: bytes) -> int:
    """Return how many pixels an image file has by its header; none is decoded.

    Raises:
        EncodedImageError: The header says that it cannot be decoded here.
    """
    image = _open(encoded)
    try:
        _check_header(image)
    except EncodedImageError:
        raise
    except Exception as error:
        raise EncodedImageError(f"the header of the {image.format} file cannot be read") from error
    return image.width * image.height


def _open(encoded: bytes) -> ImageFile.ImageFile:
    if len(encoded) > MAX_BYTES:
        raise EncodedImageError(
            f"expected at most {MAX_BYTES} bytes, got {len(encoded)}; {SEND_PIXELS}"
        )
    name = _format(encoded)
    if name is None:
        raise EncodedImageError(
            f"expected a file in one of the formats {', '.join(_DECODERS)}, got something else "
            f"({len(encoded)} bytes); {SEND_PIXELS}"
        )
    if name == "PNG" and _has_other_codes(encoded):
        raise EncodedImageError(
            "expected sRGB colours, got a PNG that declares others (cICP); convert it to sRGB"
        )
    try:
        return _DECODERS[name](io.BytesIO(encoded))
    except Exception as error:
        raise EncodedImageError(f"the header of the {name} file cannot be read") from error


def _has_other_codes(png: bytes) -> bool:
    """Return whether a chunk before the pixels says that colours are not sRGB's."""
    before_pixels, _, _ = png.partition(b"IDAT")
    _, found, body = before_pixels.partition(b"cICP")
    return bool(found) and not (body[:1] in _SRGB_PRIMARIES and body[1:2] in _SRGB_TRANSFERS)


def _format(encoded: bytes) -> str | None:
    if encoded.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if encoded.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    return "WebP" if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP" else None


def _check_header(image: ImageFile.ImageFile) -> None:
    width, height = image.size
    if not 0 < width * height <= MAX_PIXELS:
        raise EncodedImageError(
            f"expected 1 to {MAX_PIXELS} pixels, got {height}x{width} (height x width); scale the "
            "picture down"
        )
    if getattr(image, "is_animated", False):
        raise EncodedImageError(f"expected a single picture, got several frames; {SEND_PIXELS}")
    if image.mode not in OPAQUE_MODES or image.has_transparency_data:
        raise EncodedImageError(
            f"expected 8 bits a channel, grey or RGB and opaque, got mode {image.mode}"
            f"{' with transparency' if image.has_transparency_data else ''}; {SEND_PIXELS}"
        )
    if any(_WIDE_RAW_MODE in str(tile[3]) for tile in image.tile):
        raise EncodedImageError(f"expected 8 bits a channel, got 16; {SEND_PIXELS}")
    if changes_colors(image):
        raise EncodedImageError(
            "expected sRGB colours, got a file with an ICC profile of other ones, or one that "
            f"cannot be read; {SEND_PIXELS}, converted to sRGB"
        )
