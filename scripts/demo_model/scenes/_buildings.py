"""Rows of buildings on either side of the street, and across its end."""

from __future__ import annotations

import numpy as np

from demo_model.scenes._canvas import Canvas
from demo_model.scenes._facades import Style, draw_front, draw_style, draw_windows
from demo_model.scenes._labels import BUILDING
from demo_model.scenes._light import Colour, jittered, picked
from demo_model.scenes._plan import FAR_M, Side, StreetPlan
from demo_model.scenes._wall import Wall

_ROOFS: tuple[Colour, ...] = ((124, 66, 54), (92, 84, 82), (72, 74, 80), (142, 92, 70))
_TO_CAMERA = (0.0, 0.0, -1.0)


def draw_buildings(canvas: Canvas, rng: np.random.Generator, plan: StreetPlan) -> None:
    """Draw the end of the street, then both sides, far to near."""
    if plan.end == "buildings":
        _draw_end(canvas, rng)
    for side in plan.sides:
        if side.kind != "park":
            _draw_row(canvas, rng, plan, side)


def _draw_end(canvas: Canvas, rng: np.random.Generator) -> None:
    x = -110.0
    while x < 110:
        width, height = rng.uniform(10, 25), rng.uniform(8, 26)
        wall = Wall(
            origin_m=(x, 0.0, FAR_M - 2), along=(1.0, 0.0, 0.0), width_m=width, height_m=height
        )
        draw_front(canvas, rng, wall, draw_style(rng, offices=False), _TO_CAMERA)
        x += width


def _draw_row(canvas: Canvas, rng: np.random.Generator, plan: StreetPlan, side: Side) -> None:
    offices, yards = side.kind == "offices", side.kind == "yards"
    typical = rng.uniform(14, 30) if offices else rng.uniform(6, 17)
    lots, z = [], -6.0
    while z < FAR_M - 5:
        width = rng.uniform(9, 26)
        lots.append((z, width))
        z += width + (rng.uniform(3, 14) if yards else 0.0)
    for z, width in reversed(lots):
        if plan.is_open(z + width / 2, width / 2) or (yards and rng.random() < 0.15):
            continue
        setback = rng.uniform(0, 5) if yards else rng.uniform(0, 0.5)
        height = max(4.5, typical * rng.uniform(0.7, 1.35))
        x = side.sign * (side.facade_m + setback)
        front = Wall(origin_m=(x, 0.0, z), along=(0.0, 0.0, 1.0), width_m=width, height_m=height)
        _draw_building(canvas, rng, side.sign, front, draw_style(rng, offices=offices))


def _draw_building(
    canvas: Canvas, rng: np.random.Generator, sign: int, front: Wall, style: Style
) -> None:
    """Draw the roof, the gable that looks along the street, and the front."""
    height, depth = front.height_m, sign * rng.uniform(9, 14)
    rise = rng.uniform(2, 4.5) if height < 13 and rng.random() < 0.75 else 0.0
    _draw_roof(canvas, rng, sign, front, depth, rise)
    x, _, z = front.origin_m
    outline = [
        (x, 0.0, z),
        (x, height, z),
        (x + depth / 2, height + rise, z),
        (x + depth, height, z),
        (x + depth, 0.0, z),
    ]
    canvas.solid(np.array(outline), canvas.light.shade(style.plaster, _TO_CAMERA), BUILDING)
    if rng.random() < 0.5:
        gable = Wall(
            origin_m=front.origin_m,
            along=(float(sign), 0.0, 0.0),
            width_m=abs(depth),
            height_m=height,
        )
        draw_windows(canvas, rng, gable, style, _TO_CAMERA)
    draw_front(canvas, rng, front, style, (-float(sign), 0.0, 0.0))


def _draw_roof(
    canvas: Canvas, rng: np.random.Generator, sign: int, front: Wall, depth: float, rise: float
) -> None:
    """Draw the slope that faces the street; a flat roof is never seen from below."""
    colour = jittered(rng, picked(rng, _ROOFS), 0.15)
    if not rise:
        return
    x, _, near = front.origin_m
    far, eaves = near + front.width_m, front.height_m
    ridge_x, ridge_y = x + depth / 2, eaves + rise
    slope = [(x, eaves, near), (x, eaves, far), (ridge_x, ridge_y, far), (ridge_x, ridge_y, near)]
    canvas.solid(np.array(slope), canvas.light.shade(colour, (-0.6 * sign, 0.8, 0.0)), BUILDING)
