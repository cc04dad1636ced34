"""Whether a file may travel as it is, read off its header: no pixel is decoded here.

A server decodes less than this client does, so that nothing about it has to be guessed there.
Where a server would refuse a file, or might show it otherwise than this client, the pixels are
sent instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from PIL import ExifTags, Image, ImageFile

from .._config import ImageLimits
from .color import conversion_to_srgb
from .decode import is_sideways, open_image
from .depth import is_wide
from .png_chunks import chunks

# Source: tritonseg_steps.encoded_image and color_profile, by which a server goes.
MAX_BYTES: Final = 20_000_000
MAX_PIXELS: Final = 32_000_000
MAX_PROFILE_BYTES: Final = 100_000
FORMATS: Final = frozenset({"JPEG", "PNG", "WEBP"})
OPAQUE_MODES: Final = frozenset({"1", "L", "P", "RGB"})

# What tells how to show a PNG: chunks, and the keywords with which chunks of text begin. Pillow
# finds them behind the pixels, too, but only by decoding.
_PNG_DISPLAY_CHUNKS: Final = frozenset({b"eXIf", b"iCCP", b"tRNS"})
_PNG_DISPLAY_TEXTS: Final = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
_EXIF_AS_TEXT: Final = "Raw profile type exif"
_XMP_ORIENTATION: Final = b"tiff:Orientation"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSize:
    """A picture's extent in pixels.

    Attributes:
        displayed: (H, W) once turned as its EXIF orientation says.
        stored: (H, W) as in the file.
    """

    displayed: tuple[int, int]
    stored: tuple[int, int]


def read_sendable_size(encoded: bytes, limits: ImageLimits) -> ImageSize | None:
    """Return the size of a picture whose file may be sent as it is, None if its pixels must be.

    Raises:
        ImageDecodeError: The bytes do not begin a picture in one of `limits.formats`.
        ImageTooLargeError: It exceeds `limits`.
        UnsupportedImageError: It has several frames, or a mode that is not converted.
    """
    image = open_image(encoded, limits)
    if limits.strict:
        return None
    try:
        orientation = _read_orientation(image, encoded) if _is_sendable(image, encoded) else None
    except Exception:  # noqa: BLE001 - on corrupt files Pillow raises all kinds; decoding will tell
        orientation = None
    if orientation is None:
        return None
    stored = (image.height, image.width)
    return ImageSize(displayed=stored[::-1] if is_sideways(orientation) else stored, stored=stored)


def _is_sendable(image: ImageFile.ImageFile, encoded: bytes) -> bool:
    if image.format not in FORMATS or image.mode not in OPAQUE_MODES:
        return False
    if len(encoded) > MAX_BYTES or image.width * image.height > MAX_PIXELS:
        return False
    if image.has_transparency_data or is_wide(image) or _has_own_colors(image):
        return False
    return image.format != "PNG" or not _has_afterthoughts(encoded)


def _has_own_colors(image: ImageFile.ImageFile) -> bool:
    """Return whether a server, which applies no ICC profile, would show other colours."""
    if len(image.info.get("icc_profile") or b"") > MAX_PROFILE_BYTES:
        return True
    return conversion_to_srgb(image) is not None


def _read_orientation(image: ImageFile.ImageFile, encoded: bytes) -> int | None:
    """Return the EXIF orientation, None where it is told in a way that is not always heard."""
    # Not image.getexif(): that decodes a PNG's pixels, and asks XMP where EXIF says nothing.
    exif = Image.Exif()
    exif.load(image.info.get("exif", b""))
    if ExifTags.Base.Orientation in exif:
        orientation: int = exif[ExifTags.Base.Orientation]
        return orientation
    # Releases of Pillow differ in whether they look here, and the server's may be another one.
    is_told_elsewhere = _XMP_ORIENTATION in encoded or _EXIF_AS_TEXT in image.info
    return None if is_told_elsewhere else 1


def _has_afterthoughts(png: bytes) -> bool:
    behind_pixels = False
    for chunk in chunks(png):
        tells = chunk.kind in _PNG_DISPLAY_CHUNKS or png.startswith(_PNG_DISPLAY_TEXTS, chunk.start)
        if tells and behind_pixels:
            return True
        behind_pixels |= chunk.kind == b"IDAT"
    return False
