"""Encoded pictures and PIL images to 8-bit RGB in the displayed frame.

Pillow decodes nearly everything, and where it must lose something it does so in silence: 16-bit
values saturate, transparency drops and shows the colour hidden beneath, EXIF turns are ignored.
Here every mode is either converted as viewers show it or refused.

An ICC profile is applied, so that colours are sRGB; CMYK without one is converted by Pillow's plain
formula and only approximate. RGB files with 16 bits a channel lose their low byte, which is what
8-bit viewers show too, and are refused where their values do not reach the high one.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Final

from PIL import ExifTags, Image, ImageFile

from .._config import ImageLimits
from .._errors import (
    ImageDecodeError,
    ImageTooLargeError,
    InvalidImageError,
    UnsupportedImageError,
)
from .color import conversion_to_srgb
from .compose import as_displayed, as_rgb
from .damage import check_undamaged
from .depth import check_filled, check_scalable, check_stored, is_wide
from .formats import find_decoder, identify_format
from .frames import select_frame
from .isobmff import check_boxes, check_color_codes, check_items
from .png_chunks import check_png_codes
from .reading import AS_IT_IS, SCALED_MODES, Reading, scaled_image
from .stored import as_stored

_PNG_PALETTE: Final = 3
"""Colour type in byte 25. Source: PNG specification, 11.2.2 (IHDR)."""

_OPAQUE_MODES: Final = frozenset({"1", "L", "P", "RGB", "YCbCr", "CMYK"})
_ALPHA_MODES: Final = frozenset({"LA", "PA", "RGBA"})
_SIDEWAYS_ORIENTATIONS: Final = (5, 6, 7, 8)


def decode_image(
    encoded: bytes, limits: ImageLimits, reading: Reading = AS_IT_IS
) -> tuple[Image.Image, tuple[int, int]]:
    """Decode an image file.

    Returns:
        The picture in mode RGB as it is displayed, and its stored (H, W).

    Raises:
        ImageDecodeError: The bytes are not a whole picture in one of `limits.formats`.
        ImageTooLargeError: Its header says that it exceeds `limits`.
        UnsupportedImageError: It has several frames, or a mode that is not converted.
    """
    if not (limits.strict and identify_format(encoded) == "JPEG"):
        return _render(open_image(encoded, limits, reading), limits, reading)
    image = open_image(encoded, limits, reading)
    rendered = _render(image, limits, reading)
    check_undamaged(encoded, image)
    return rendered


def open_image(
    encoded: bytes, limits: ImageLimits, reading: Reading = AS_IT_IS
) -> ImageFile.ImageFile:
    """Read the header of an image file, and no pixel.

    Raises:
        ImageDecodeError: The bytes do not begin a picture in one of `limits.formats`.
        ImageTooLargeError: It exceeds `limits`.
        UnsupportedImageError: It has several frames, or a mode that is not converted.
    """
    name = identify_format(encoded)
    if name is None or name not in limits.formats:
        raise ImageDecodeError(
            f"expected a picture in one of the formats {', '.join(limits.formats)}, "
            f"got {name or ('something else' if encoded else 'nothing')} ({len(encoded)} bytes)"
        )
    decoder = find_decoder(name)
    if name == "HEIF":
        check_items(encoded)
    with _pillow_errors():
        image = decoder(io.BytesIO(encoded))
        _check_header(image, limits, reading, encoded)
    return image


def render_rgb(
    image: Image.Image, limits: ImageLimits, reading: Reading = AS_IT_IS
) -> tuple[Image.Image, tuple[int, int]]:
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
        with _pillow_errors():
            _check_header(image, limits, reading)
        return _render(image, limits, reading)
    with _pillow_errors():
        _check_header(stored.image, limits, reading, stored.encoded)
    shown = stored.image if stored.is_only_witness else image
    return _render(shown, limits, reading, wide=is_wide(stored.image))


def is_sideways(orientation: object) -> bool:
    """Return whether a picture of this EXIF orientation is displayed with its axes swapped."""
    return orientation in _SIDEWAYS_ORIENTATIONS


def _render(
    image: Image.Image, limits: ImageLimits, reading: Reading, *, wide: bool | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    announced = sorted(image.size)
    with _pillow_errors():
        wide = is_wide(image) if wide is None else wide
        told = image.getexif().get(ExifTags.Base.Orientation, 1)
        image.load()
        conversion = conversion_to_srgb(image)  # behind the pixels, too, a PNG may have a profile
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)  # 1 if loading turned it
        if reading.value_range is not None:
            image = scaled_image(image, reading.value_range)
        elif wide:
            check_filled(image.convert("RGB"))
        rgb = as_rgb(image, limits.background, conversion)
        del image  # with what its decoder holds, before the next copy is made
        rgb = as_displayed(rgb, orientation)
    if sorted(rgb.size) != announced:  # as libheif finds out when it decodes
        raise ImageDecodeError("the picture has another size than its header says")
    return rgb, rgb.size if is_sideways(told) else (rgb.height, rgb.width)


def check_pixel_count(height: int, width: int, limits: ImageLimits) -> None:
    """Raise `ImageTooLargeError` if height × width is over `limits.max_pixels`."""
    if height * width > limits.max_pixels:
        raise ImageTooLargeError(
            f"the picture has {height}×{width} = {height * width} pixels, over the limit of "
            f"{limits.max_pixels}; scale it down or raise ImageLimits.max_pixels"
        )


def _check_transparent_color(png: bytes) -> None:
    # Pillow compares the tRNS value with pixels that it has already scaled to 8 bits (seen in
    # 10.3 to 13.0), so at any other depth it shows the colour that the file declares hidden.
    bit_depth, color_type = png[24], png[25]
    if bit_depth != 8 and color_type != _PNG_PALETTE:
        raise UnsupportedImageError(
            f"expected a PNG with a transparent colour to have 8 bits a channel, got {bit_depth}; "
            "save it with an alpha channel, or without transparency"
        )


def _check_header(
    image: Image.Image, limits: ImageLimits, reading: Reading, encoded: bytes = b""
) -> None:
    if encoded and image.format == "PNG":
        check_png_codes(encoded)
        if "transparency" in image.info:
            _check_transparent_color(encoded)
    if image.format != "TIFF":  # where pages have sizes of their own, and nothing is decoded yet
        _check_size(image, limits)
    select_frame(image, reading.frame)
    _check_size(image, limits)
    if image.format in ("AVIF", "HEIF"):
        _check_described(image, limits, encoded)
    if reading.value_range is None:
        _check_mode(image)
    else:
        check_scalable(image)
    check_stored(image, is_scaled=reading.value_range is not None)


def _check_described(image: Image.Image, limits: ImageLimits, encoded: bytes) -> None:
    has_profile, is_avif = bool(image.info.get("icc_profile")), image.format == "AVIF"
    if encoded:
        for height, width in check_boxes(encoded, has_profile=has_profile, is_avif=is_avif):
            check_pixel_count(height, width, limits)
    elif not has_profile and (codes := image.info.get("nclx_profile")):  # as pillow-heif tells
        check_color_codes(codes["color_primaries"], codes["transfer_characteristics"])


def _check_size(image: Image.Image, limits: ImageLimits) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageDecodeError(f"the picture has no pixels: {height}×{width}")
    check_pixel_count(height, width, limits)


def _check_mode(image: Image.Image) -> None:
    if image.mode in SCALED_MODES:
        raise UnsupportedImageError(
            f"expected 8 bits a channel, got grey of mode {image.mode}; only you know its value "
            "range: pass load_image(source, value_range=(low, high)) of this picture"
        )
    if image.mode not in _OPAQUE_MODES | _ALPHA_MODES:
        modes = ", ".join(sorted(_OPAQUE_MODES | _ALPHA_MODES))
        raise UnsupportedImageError(
            f"expected 8 bits a channel in one of the modes {modes}, got mode {image.mode}; "
            "convert it yourself, only you know its value range"
        )


@contextlib.contextmanager
def _pillow_errors() -> Iterator[None]:
    """Turn what decoders raise on corrupt files, which is all kinds, into this package's errors."""
    try:
        yield
    except InvalidImageError:
        raise
    except Exception as exc:
        raise _error_from_pillow(exc) from exc


def _error_from_pillow(exc: Exception) -> InvalidImageError:
    # Some decoders look at Pillow's own, higher limit before the size can be read here.
    if isinstance(exc, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return ImageTooLargeError(f"the picture is too large even for Pillow: {exc}")
    return ImageDecodeError(f"cannot decode the picture: {type(exc).__name__}: {exc}")
