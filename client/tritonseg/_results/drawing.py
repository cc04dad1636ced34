"""Pictures of results, to look at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from .._errors import ConfigurationError
from .._model.metadata import Color

_LEAST_FONT_PX: Final = 12
"""The smallest at which the letters of Pillow's own font are told apart."""
_SIDES_PER_FONT: Final = 40
"""Of a square with the picture's area: 18 pixels for 512×1024, 52 for 4 megapixels."""
_PAPER: Final = (255, 255, 255)
_INK: Final = (32, 32, 32)


def paletted(class_map: npt.NDArray[np.uint8], palette: tuple[Color, ...]) -> Image.Image:
    """Return a class map as an image of mode P, whose pixels are the indices."""
    height, width = class_map.shape
    image = Image.frombytes("P", (width, height), class_map.tobytes())
    image.putpalette([channel for color in palette for channel in color])
    return image


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendEntry:
    """One line of a legend: a class' name, its share of the pixels, 0–1, and its colour."""

    name: str
    share: float
    color: Color

    @property
    def text(self) -> str:
        """The line's words."""
        return f"{self.name} {self.share:.1%}" if self.share >= 0.0005 else f"{self.name} <0.1%"


def with_legend(picture: Image.Image, entries: list[LegendEntry]) -> Image.Image:
    """Return a picture with a legend below it, and wider than it where that is needed.

    Args:
        picture: Of mode RGB; it is unchanged, at the top left.
        entries: In the order in which to list them, row by row.

    Raises:
        ConfigurationError: Pillow was built without FreeType, as none of its wheels is.
    """
    font_px = max(_LEAST_FONT_PX, math.isqrt(picture.width * picture.height) // _SIDES_PER_FONT)
    font = _font(font_px)
    column_px = 3 * font_px + math.ceil(max(font.getlength(entry.text) for entry in entries))
    column_count = min(len(entries), max(1, picture.width // column_px))
    row_count = -(-len(entries) // column_count)
    row_px, margin_px = font_px + font_px // 2, font_px // 2
    width = max(picture.width, column_count * column_px)
    canvas = Image.new("RGB", (width, picture.height + row_count * row_px + margin_px), _PAPER)
    canvas.paste(picture, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for position, entry in enumerate(entries):
        row, column = divmod(position, column_count)
        left, top = column * column_px + margin_px, picture.height + margin_px + row * row_px
        box = (left, top, left + font_px, top + font_px)
        draw.rectangle(box, fill=entry.color, outline=_INK)
        middle = (left + font_px + margin_px, top + font_px / 2)
        draw.text(middle, entry.text, fill=_INK, font=font, anchor="lm")
    return canvas


def _font(font_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.load_default(font_px)
    except ImportError as exc:
        raise ConfigurationError(
            f"a legend needs a Pillow that was built with FreeType ({exc}), as its wheels are"
        ) from exc
