"""Encoded pictures and PIL images to 8-bit RGB in the displayed frame.

Pillow decodes nearly everything, and where it must lose something it does so in silence: 16-bit
values saturate, transparency drops and shows the colour hidden beneath, EXIF turns are ignored.
Here every mode is either converted as viewers show it or refused.

An ICC profile is applied, so that colours are sRGB; CMYK without one is converted by Pillow's plain
formula and only approximate. RGB files with 16 bits a channel lose their low byte, which is what
8-bit viewers show too, and are refused where their values do not reach the high one.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final, TypeAlias

from PIL import (
    BmpImagePlugin,
    ExifTags,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from ._color import ColorConversion, conversion_to_srgb
from ._config import ImageLimits
from ._damage import check_undamaged
from ._depth import check_filled, check_stored, is_wide
from ._errors import (
    ImageDecodeError,
    ImageTooLargeError,
    InvalidImageError,
    UnsupportedImageError,
)
from ._stored import as_stored

Decoder: TypeAlias = Callable[[io.BytesIO], ImageFile.ImageFile]

# The decoders are called directly, not through Image.open: that one compares the size with the
# process-wide Image.MAX_IMAGE_PIXELS, and answers with a warning that no thread can catch for
# itself alone; and it turns a photo with an embedded preview into a picture of two frames.
_DECODERS: Final[dict[str, Decoder]] = {
    "BMP": BmpImagePlugin.BmpImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}

_SIGNATURES: Final[dict[bytes, str]] = {
    b"BM": "BMP",
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}

_PNG_PALETTE: Final = 3
"""Colour type in byte 25. Source: PNG specification, 11.2.2 (IHDR)."""

_OPAQUE_MODES: Final = frozenset({"1", "L", "P", "RGB", "YCbCr", "CMYK"})
_ALPHA_MODES: Final = frozenset({"LA", "PA", "RGBA"})
_SIDEWAYS_ORIENTATIONS: Final = (5, 6, 7, 8)


def decode_image(encoded: bytes, limits: ImageLimits) -> tuple[Image.Image, tuple[int, int]]:
    """Decode an image file.

    Returns:
        The picture in mode RGB as it is displayed, and its stored (H, W).

    Raises:
        ImageDecodeError: The bytes are not a whole picture in one of `limits.formats`.
        ImageTooLargeError: Its header says that it exceeds `limits`.
        UnsupportedImageError: It has several frames, or a mode that is not converted.
    """
    image = open_image(encoded, limits)
    rendered = _render(image, limits, wide=is_wide(image))
    if limits.strict and image.format in ("JPEG", "MPO"):
        check_undamaged(encoded, image)
    return rendered


def open_image(encoded: bytes, limits: ImageLimits) -> ImageFile.ImageFile:
    """Read the header of an image file, and no pixel.

    Raises:
        ImageDecodeError: The bytes do not begin a picture in one of `limits.formats`.
        ImageTooLargeError: It exceeds `limits`.
        UnsupportedImageError: It has several frames, or a mode that is not converted.
    """
    name = _identify_format(encoded)
    if name not in limits.formats:
        raise ImageDecodeError(
            f"expected a picture in one of the formats {', '.join(limits.formats)}, "
            f"got {name or 'something else'} ({len(encoded)} bytes)"
        )
    try:
        image = _DECODERS[name](io.BytesIO(encoded))
    except Exception as exc:  # on corrupt files decoders raise all kinds
        raise _error_from_pillow(exc) from exc
    _check_header(image, limits, encoded)
    return image


def render_rgb(image: Image.Image, limits: ImageLimits) -> tuple[Image.Image, tuple[int, int]]:
    """Convert a PIL image, loaded or not, to RGB as it is displayed.

    Returns:
        The picture in mode RGB as it is displayed, and its stored (H, W).

    Raises:
        ImageDecodeError: Its data are truncated or corrupt.
        ImageTooLargeError: It exceeds `limits`.
        UnsupportedImageError: It has several frames, or a mode that is not converted.
    """
    stored = as_stored(image)
    if stored is None:
        _check_header(image, limits)
        return _render(image, limits, wide=is_wide(image))
    _check_header(stored.image, limits, stored.encoded)
    shown = stored.image if stored.is_only_witness else image
    return _render(shown, limits, wide=is_wide(stored.image))


def is_sideways(orientation: object) -> bool:
    """Return whether a picture of this EXIF orientation is displayed with its axes swapped."""
    return orientation in _SIDEWAYS_ORIENTATIONS


def _render(
    image: Image.Image, limits: ImageLimits, *, wide: bool
) -> tuple[Image.Image, tuple[int, int]]:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        image.load()
        conversion = conversion_to_srgb(image)  # behind the pixels, too, a PNG may have a profile
        displayed = image if orientation == 1 else ImageOps.exif_transpose(image)
        if wide:
            check_filled(displayed.convert("RGB"))
        rgb = _convert_to_rgb(displayed, limits.background, conversion)
    except UnsupportedImageError:
        raise
    except Exception as exc:  # on corrupt files decoders raise all kinds
        raise _error_from_pillow(exc) from exc
    # Pillow turns a TIFF while loading it, so the stored size is not always image.size.
    return rgb, rgb.size if is_sideways(orientation) else (rgb.height, rgb.width)


def check_pixel_count(height: int, width: int, limits: ImageLimits) -> None:
    """Raise `ImageTooLargeError` if height × width is over `limits.max_pixels`."""
    if height * width > limits.max_pixels:
        raise ImageTooLargeError(
            f"the picture has {height}×{width} = {height * width} pixels, over the limit of "
            f"{limits.max_pixels}; scale it down or raise ImageLimits.max_pixels"
        )


def _identify_format(encoded: bytes) -> str | None:
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "WEBP"
    matches = (name for prefix, name in _SIGNATURES.items() if encoded.startswith(prefix))
    return next(matches, None)


def _check_transparent_color(png: bytes) -> None:
    # Pillow compares the tRNS value with pixels that it has already scaled to 8 bits (seen in
    # 10.3 to 13.0), so at any other depth it shows the colour that the file declares hidden.
    bit_depth, color_type = png[24], png[25]
    if bit_depth != 8 and color_type != _PNG_PALETTE:
        raise UnsupportedImageError(
            f"expected a PNG with a transparent colour to have 8 bits a channel, got {bit_depth}; "
            "save it with an alpha channel, or without transparency"
        )


def _check_header(image: Image.Image, limits: ImageLimits, encoded: bytes = b"") -> None:
    if encoded and image.format == "PNG" and "transparency" in image.info:
        _check_transparent_color(encoded)
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageDecodeError(f"the picture has no pixels: {height}×{width}")
    check_pixel_count(height, width, limits)
    # Frame 0 of a multi-picture JPEG is the photo itself, the others its previews.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise UnsupportedImageError(
            "expected a single picture, got several frames or pages; pass one, for instance "
            "as `image.copy()` after `image.seek(index)` in Pillow"
        )
    if image.mode not in _OPAQUE_MODES | _ALPHA_MODES:
        modes = ", ".join(sorted(_OPAQUE_MODES | _ALPHA_MODES))
        raise UnsupportedImageError(
            f"expected 8 bits a channel in one of the modes {modes}, got mode {image.mode}; "
            "convert it yourself, only you know its value range"
        )
    check_stored(image)


def _convert_to_rgb(
    image: Image.Image, background: tuple[int, int, int], conversion: ColorConversion | None
) -> Image.Image:
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        colors = rgba if conversion is None else conversion.apply(rgba.convert("RGB"))
        canvas = Image.new("RGB", rgba.size, background)
        canvas.paste(colors, mask=rgba.getchannel("A"))
        return canvas
    if conversion is not None:
        return conversion.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _error_from_pillow(exc: Exception) -> InvalidImageError:
    # Some decoders look at Pillow's own, higher limit before the size can be read here.
    if isinstance(exc, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return ImageTooLargeError(f"the picture is too large even for Pillow: {exc}")
    return ImageDecodeError(f"cannot decode the picture: {type(exc).__name__}: {exc}")
