"""Files with more, or other, than 8 unsigned bits a channel, which Pillow reads as 8 in silence.

Of 16-bit RGB it keeps the high byte. That is the picture where the values fill their 16 bits, and
nearly black where a camera left 10, 12 or 14 bits in them.
"""

from __future__ import annotations

from typing import Final

from PIL import Image, TiffImagePlugin

from .._errors import UnsupportedImageError
from .reading import SCALED_MODES

_WIDE_RAW_MODE: Final = ";16"
"""In Pillow's names of how pixels are stored, as in RGB;16B."""
_WIDE_GRAY_RAW_MODE: Final = "LA;16"

# Source: TIFF 6.0, the tags BitsPerSample, PhotometricInterpretation, PlanarConfiguration and
# SampleFormat.
_TIFF_BITS: Final = 258
_TIFF_PHOTOMETRIC: Final = 262
_TIFF_WHITE_IS_ZERO: Final = 0
_TIFF_PLANAR: Final = 284
_TIFF_COLOR_MAP: Final = 320
_LEAST_COLOR: Final = 256
"""Of the levels in a TIFF's palette, which have 16 bits; Pillow keeps the high byte."""
_TIFF_SEPARATE_PLANES: Final = 2
_TIFF_SAMPLE_FORMAT: Final = 339
_TIFF_UNSIGNED: Final = (1, 4)
"""Unsigned integers, and "undefined", which is what old writers call them."""

_FILLED_BITS: Final = 14
_LEAST_HIGH_BYTE: Final = 1 << (_FILLED_BITS - 8)


def is_wide(image: Image.Image) -> bool:
    """Return whether an image that was not loaded yet has 16 bits a channel in its file."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return any(bits > 8 for bits in image.tag_v2.get(_TIFF_BITS, (1,)))
    return any(_WIDE_RAW_MODE in mode for mode in _raw_modes(image))


def check_scalable(image: Image.Image) -> None:
    """Check that a caller's range of values can mean an image, which was not loaded yet.

    Raises:
        UnsupportedImageError: It is not grey of more than 8 bits, or 0 is its white.
    """
    if image.mode not in SCALED_MODES:
        raise UnsupportedImageError(
            "expected grey of more than 8 bits, for which value_range is, got mode "
            f"{image.mode}; leave value_range out"
        )
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return
    if image.tag_v2.get(_TIFF_PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO:
        raise UnsupportedImageError(
            "expected a TIFF in which 0 is black, got one in which it is white, which Pillow does "
            "not tell apart at this depth; save it inverted"
        )
    bits, formats = image.tag_v2.get(_TIFF_BITS, (1,)), image.tag_v2.get(_TIFF_SAMPLE_FORMAT, (1,))
    if bits[0] > 16 and formats[0] in _TIFF_UNSIGNED:
        raise UnsupportedImageError(
            f"expected a TIFF of up to 16 bits, signed integers or floats, got {bits[0]} unsigned "
            "bits, which Pillow reads as signed; convert it yourself"
        )


def check_stored(image: Image.Image, *, is_scaled: bool = False) -> None:
    """Check how an image that was not loaded yet is stored.

    Args:
        image: The image.
        is_scaled: Whether the caller said what its values mean.

    Raises:
        UnsupportedImageError: Pillow would read it as something else.
    """
    if any(_WIDE_GRAY_RAW_MODE in mode for mode in _raw_modes(image)):
        raise UnsupportedImageError(
            "expected 8 bits a channel, got 16-bit grey with transparency; convert it yourself, "
            "only you know its value range"
        )
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return
    brightest = max(image.tag_v2.get(_TIFF_COLOR_MAP, (0,)))
    if 0 < brightest < _LEAST_COLOR:
        raise UnsupportedImageError(
            f"expected a TIFF palette of 16-bit levels, got none above {brightest}, as in one of 8 "
            "bits, which Pillow reads as black; save it as RGB"
        )
    formats = image.tag_v2.get(_TIFF_SAMPLE_FORMAT, (1,))
    if not is_scaled and any(value not in _TIFF_UNSIGNED for value in formats):
        raise UnsupportedImageError(
            f"expected a TIFF of unsigned integers, got sample format {formats[0]}; only you know "
            "its value range: pass load_image(source, value_range=(low, high)) of this picture"
        )
    if is_wide(image) and image.tag_v2.get(_TIFF_PLANAR) == _TIFF_SEPARATE_PLANES:
        raise UnsupportedImageError(
            "expected 8 bits a channel in a TIFF of separate planes, got 16, which Pillow reads "
            "wrong; save it with the channels interleaved"
        )


def check_filled(colors: Image.Image) -> None:
    """Check the colours of an image whose file has 16 bits a channel, of which these are 8.

    Raises:
        UnsupportedImageError: The values use 14 bits of the 16 or fewer.
    """
    brightest = max(_extrema(band)[1] for band in colors.split())
    if brightest < _LEAST_HIGH_BYTE:
        raise UnsupportedImageError(
            f"expected 16-bit values that use their range of 65535, got none above "
            f"{256 * brightest + 255}, as in 10- to 14-bit data; scale it to 8 bits yourself, "
            "only you know its value range"
        )


def _extrema(band: Image.Image) -> tuple[int, int]:
    low, high = band.getextrema()
    assert isinstance(low, int)  # noqa: S101 - of one band of 8 bits, as the types do not say
    assert isinstance(high, int)  # noqa: S101
    return low, high


def _raw_modes(image: Image.Image) -> list[str]:
    return [str(tile[3]) for tile in getattr(image, "tile", None) or ()]
