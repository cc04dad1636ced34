"""The gate's report as one HTML file that needs nothing else: figures, and pictures to look at."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tritonseg_engines.running.pictures import Picture
from tritonseg_engines.spec import Color

PICTURES_SHOWN = 4
PANEL_WIDTH = 480
"""Pixels; larger pictures are scaled down."""
JPEG_QUALITY = 88
OVERLAY_OPACITY = 0.6
DIFFERENCE = (255, 0, 60)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } caption { text-align: left; font-weight: 600 }
th, td { padding: .15rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left }
.verdict { padding: .6rem 1rem; border-left: 6px solid } .passed { border-color: #2a8 }
.refused { border-color: #c33 } .accepted { border-color: #d90 }
figure { margin: 1rem 0 } .panels { display: grid; grid-template-columns: 1fr 1fr; gap: .4rem }
.strip svg { width: 100%; height: 46px; display: block } .strip i { display: inline-block;
width: .8em; height: .8em; margin: 0 .3em 0 1em }
.panels img { width: 100%; display: block } .panels span { font-size: 13px; color: #555 }
"""


@dataclass(frozen=True, slots=True)
class Panels:
    """One picture and what the two networks make of it, scaled down.

    Attributes:
        name: Of the picture.
        equal_pixels: Share of its pixels with the same class, at full size.
        images: Title and `(h, w, 3)` uint8 RGB of each panel.
    """

    name: str
    equal_pixels: float
    images: tuple[tuple[str, NDArray[np.uint8]], ...]


class WorstPictures:
    """Keeps panels of the pictures at which the two networks differ most.

    Args:
        palette: One colour per class.
        count: How many pictures to keep.
    """

    def __init__(self, palette: Sequence[Color], count: int = PICTURES_SHOWN) -> None:
        self._palette = np.array(palette, np.uint8)
        self._count = count
        self.panels: list[Panels] = []

    def observe(
        self, picture: Picture, expected: NDArray[np.uint8], actual: NDArray[np.uint8]
    ) -> None:
        """Look at one compared picture."""
        equal = float((expected == actual).mean())
        if len(self.panels) == self._count and equal >= self.panels[-1].equal_pixels:
            return
        image = picture.image_hwc
        gray = np.repeat(image.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
        changed = np.array(DIFFERENCE, np.uint8)
        difference = np.where((expected != actual)[..., None], changed, gray)
        titled = (
            ("picture", image),
            ("reference, fp32", self._overlay(image, expected)),
            ("where they differ", difference),
            ("built", self._overlay(image, actual)),
        )
        images = tuple((title, _scaled(panel)) for title, panel in titled)
        self.panels.append(Panels(picture.name, equal, images))
        self.panels.sort(key=lambda panel: panel.equal_pixels)
        del self.panels[self._count :]

    def _overlay(self, image: NDArray[np.uint8], classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        colors = self._palette[classes]
        blend = cv2.addWeighted(colors, OVERLAY_OPACITY, image, 1 - OVERLAY_OPACITY, 0)
        return np.asarray(blend, np.uint8)


def page(title: str, parts: Iterable[str]) -> str:
    """Return a document; parts are HTML."""
    heading, body = html.escape(title), "\n".join(parts)
    return (
        f"<!doctype html>\n<html lang=en><meta charset=utf-8><title>{heading}</title>"
        f"<style>{STYLE}</style>\n<h1>{heading}</h1>\n{body}\n</html>\n"
    )


def paragraph(text: str, css_class: str = "") -> str:
    """Return text as a paragraph."""
    return f"<p class='{css_class}'>{html.escape(text)}</p>"


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of text."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><caption>{html.escape(caption)}</caption><tr>{head}</tr>\n{body}</table>"


def figure(panels: Panels) -> str:
    """Return a picture's panels."""
    cells = "\n".join(
        f"<div><img alt='{title}' src='{_jpeg_url(image)}'><span>{title}</span></div>"
        for title, image in panels.images
    )
    caption = f"{html.escape(panels.name)}: {panels.equal_pixels:.3%} of the pixels equal"
    return f"<figure><figcaption>{caption}</figcaption><div class=panels>{cells}</div></figure>"


def _scaled(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    if width <= PANEL_WIDTH:
        return image
    size = (PANEL_WIDTH, max(1, round(height * PANEL_WIDTH / width)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg_url(image: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
