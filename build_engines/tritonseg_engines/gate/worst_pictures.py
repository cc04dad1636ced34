"""The pictures of the gate's report: those at which the two networks differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tritonseg_engines import html_page
from tritonseg_engines.running.pictures import Picture
from tritonseg_engines.spec import Color

PICTURES_SHOWN = 4
OVERLAY_OPACITY = 0.6
DIFFERENCE = (255, 0, 60)


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
        images = tuple((title, html_page.panel_sized(panel)) for title, panel in titled)
        self.panels.append(Panels(picture.name, equal, images))
        self.panels.sort(key=lambda panel: panel.equal_pixels)
        del self.panels[self._count :]

    def _overlay(self, image: NDArray[np.uint8], classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        colors = self._palette[classes]
        blend = cv2.addWeighted(colors, OVERLAY_OPACITY, image, 1 - OVERLAY_OPACITY, 0)
        return np.asarray(blend, np.uint8)


def figure(panels: Panels) -> str:
    """Return a picture's panels."""
    caption = f"{panels.name}: {panels.equal_pixels:.3%} of the pixels equal"
    return html_page.figure(caption, panels.images)
