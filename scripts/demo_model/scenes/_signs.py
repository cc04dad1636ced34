"""Traffic signs on posts."""

from __future__ import annotations

import math

import numpy as np

from demo_model.scenes._camera import Float
from demo_model.scenes._canvas import Canvas
from demo_model.scenes._furniture import draw_metal, draw_upright, plate
from demo_model.scenes._labels import TRAFFIC_SIGN
from demo_model.scenes._light import Colour, scaled

_RED: Colour = (196, 34, 36)
_BLUE: Colour = (34, 84, 164)
_GREEN: Colour = (40, 110, 76)
_WHITE: Colour = (226, 226, 222)
_YELLOW: Colour = (230, 184, 40)
_GREY: Colour = (132, 134, 136)
_BLACK: Colour = (32, 32, 36)
_SHARES = (0.24, 0.16, 0.18, 0.1, 0.08, 0.16, 0.08)

Layers = list[tuple[Float, Colour]]
"""Polygons from back to front; the first is the outline of the whole sign."""


def draw_sign_post(canvas: Canvas, rng: np.random.Generator, x_m: float, z_m: float) -> None:
    """Draw one or two traffic signs on a post."""
    height = rng.uniform(2.2, 3.3)
    draw_upright(canvas, x_m, z_m, height, 0.04, draw_metal(canvas, rng))
    centre = np.array([x_m, height - 0.2, z_m - 0.06])
    _draw_sign(canvas, rng, centre)
    if rng.random() < 0.35:
        _draw_sign(canvas, rng, centre - np.array((0.0, 0.75, 0.0)))


def _draw_sign(canvas: Canvas, rng: np.random.Generator, centre_m: Float) -> None:
    level = canvas.light.ambient + 0.35 * canvas.light.sun_strength
    layers = _layers(int(rng.choice(len(_SHARES), p=_SHARES)), rng, centre_m)
    outline, colour = layers[0]
    canvas.solid(outline, scaled(colour, level), TRAFFIC_SIGN)
    for part, colour in layers[1:]:
        canvas.paint(part, scaled(colour, level))


def _layers(kind: int, rng: np.random.Generator, at: Float) -> Layers:
    size = rng.uniform(0.28, 0.42)
    if kind == 0:  # a ban
        bar = plate(at, size * 0.3, size * 0.14)
        return [(_disc(at, size), _RED), (_disc(at, size * 0.75), _WHITE), (bar, _BLACK)]
    if kind == 1:  # a warning
        bar = plate(at, size * 0.08, size * 0.22)
        return [
            (_disc(at, size * 1.2, 3), _RED),
            (_disc(at, size * 0.78, 3), _WHITE),
            (bar, _BLACK),
        ]
    if kind == 2:  # an order
        bar = plate(at, size * 0.1, size * 0.5)
        return [(_disc(at, size), _WHITE), (_disc(at, size * 0.93), _BLUE), (bar, _WHITE)]
    if kind == 3:  # priority
        return [(_disc(at, size * 1.15, 4), _WHITE), (_disc(at, size * 0.85, 4), _YELLOW)]
    if kind == 4:  # stop
        bar, inner = plate(at, size * 0.6, size * 0.16), _disc(at, size * 0.92, 8)
        return [(_disc(at, size, 8), _WHITE), (inner, _RED), (bar, _WHITE)]
    if kind == 5:  # directions
        board = plate(at, size * 1.52, size * 0.67), _BLUE if rng.random() < 0.6 else _GREEN
        line = plate(at, size, size * 0.12), _WHITE
        return [(plate(at, size * 1.6, size * 0.75), _WHITE), board, line]
    return [(_disc(at, size), _GREY)]  # any sign, from behind


def _disc(centre_m: Float, radius: float, corners: int = 18) -> Float:
    """An upright regular polygon across the street, `(corners, 3)`; the octagon lies flat."""
    turn = math.pi / 8 if corners == 8 else 0.0
    angle = turn + np.linspace(0, 2 * math.pi, corners + 1)[:-1]
    offsets = np.stack([radius * np.sin(angle), radius * np.cos(angle), 0 * angle], axis=1)
    disc: Float = centre_m + offsets
    return disc
