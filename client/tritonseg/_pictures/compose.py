"""Decoded pixels to what is sent: opaque, RGB, and the right way up."""

from __future__ import annotations

from typing import Final

from PIL import ExifTags, Image, ImageOps

from .color import ColorConversion

_PIXELS_AT_ONCE: Final = 1 << 20
"""Of a transparent picture, of which whole copies would be most of what reading it takes."""


def as_rgb(
    image: Image.Image, background: tuple[int, int, int], conversion: ColorConversion | None
) -> Image.Image:
    """Return a loaded image in mode RGB.

    Args:
        image: Of any mode that is converted.
        background: What shows through where it is transparent.
        conversion: To sRGB; None where that changes nothing.
    """
    if image.has_transparency_data:
        return _composed(image, background, conversion)
    if conversion is not None:
        return conversion.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _composed(
    image: Image.Image, background: tuple[int, int, int], conversion: ColorConversion | None
) -> Image.Image:
    canvas = Image.new("RGB", image.size, background)
    rows = max(1, _PIXELS_AT_ONCE // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        strip = image.crop(box).convert("RGBA")
        colors = strip if conversion is None else conversion.apply(strip.convert("RGB"))
        canvas.paste(colors, (0, top), mask=strip.getchannel("A"))
    return canvas


def as_displayed(rgb: Image.Image, orientation: int) -> Image.Image:
    """Return an image turned as an EXIF orientation says."""
    if orientation == 1:
        return rgb
    rgb.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(rgb)
