"""Things that stand on the street, each drawn with its own random numbers, back to front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from demo_model.scenes._canvas import Canvas

Draw = Callable[[Canvas, np.random.Generator], None]
_NEAREST_M = 0.8


@dataclass(frozen=True, slots=True)
class Prop:
    """Where a thing stands on the ground, and how it is drawn."""

    x_m: float
    z_m: float
    draw: Draw


def draw_props(canvas: Canvas, rng: np.random.Generator, props: Sequence[Prop]) -> None:
    """Draw what is behind first.

    Every prop has its own stream: how one is drawn never changes another.
    """
    placed = list(zip(props, rng.spawn(len(props)), strict=True))
    for prop, own in sorted(placed, key=lambda item: -_behind(item[0])):
        if canvas.camera.distance(prop.x_m, prop.z_m) > _NEAREST_M:
            prop.draw(canvas, own)


def _behind(prop: Prop) -> float:
    """Order by depth; of two long things side by side, the one further out is behind."""
    return prop.z_m + abs(prop.x_m)
