"""Bicycles and motorcycles, with or without somebody on them."""

from __future__ import annotations

import itertools

import numpy as np

from demo_model.scenes._canvas import Canvas
from demo_model.scenes._figure import CLOTHES, Figure
from demo_model.scenes._labels import BICYCLE, MOTORCYCLE
from demo_model.scenes._light import Colour, jittered, picked
from demo_model.scenes._people import draw_rider
from demo_model.scenes._solids import Pose, cast_shadow_under
from demo_model.scenes._wheels import wheel_outline

_BLACK: Colour = (28, 28, 30)
_DARK: Colour = (52, 54, 58)
_CHROME: Colour = (156, 158, 162)
_HEAD_LAMP: Colour = (226, 224, 204)
_TAIL_LAMP: Colour = (186, 24, 22)


def draw_bicycle(canvas: Canvas, rng: np.random.Generator, pose: Pose, *, ridden: bool) -> None:
    """Draw a bicycle."""
    figure = Figure(canvas=canvas, pose=pose, label=BICYCLE)
    paint = jittered(rng, picked(rng, CLOTHES), 0.3)
    if ridden:
        cast_shadow_under(canvas, pose, 0.15, 0.8)
    for z in (-0.52, 0.52):
        _draw_spoked_wheel(canvas, pose, z, 0.34)
    crank, seat, head = (0.0, 0.30, -0.08), (0.0, 0.84, -0.22), (0.0, 0.80, 0.36)
    rear, front = (0.0, 0.34, -0.52), (0.0, 0.34, 0.52)
    for tube in ([rear, crank, head], [crank, seat, head], [rear, seat], [head, front]):
        figure.limb(tube, 0.024, paint)
    figure.limb([head, (0.0, 0.98, 0.32)], 0.02, _DARK)
    figure.limb([(-0.27, 0.99, 0.26), (0.0, 0.99, 0.34), (0.27, 0.99, 0.26)], 0.02, _DARK)
    figure.limb([(0.0, 0.9, -0.32), (0.0, 0.9, -0.14)], 0.045, _BLACK)
    if ridden:
        draw_rider(canvas, rng, pose, seat_m=0.95, helmet=rng.random() < 0.5)


def _draw_spoked_wheel(canvas: Canvas, pose: Pose, z: float, radius: float) -> None:
    """Draw a wheel one sees through; its disc is labelled whole, as annotators do."""
    outline = pose.world(wheel_outline((0.0, radius, z), radius))
    canvas.label_only(outline, BICYCLE)
    for start, end in itertools.pairwise([*outline, outline[0]]):
        canvas.limb(start, end, 0.022, _BLACK, BICYCLE)
    half = len(outline) // 2
    for index in range(0, half, 2):
        canvas.limb(outline[index], outline[index + half], 0.006, (120, 122, 126), None)


def draw_motorcycle(canvas: Canvas, rng: np.random.Generator, pose: Pose, *, ridden: bool) -> None:
    """Draw a motorcycle."""
    figure = Figure(canvas=canvas, pose=pose, label=MOTORCYCLE)
    paint = jittered(rng, picked(rng, CLOTHES), 0.3)
    cast_shadow_under(canvas, pose, 0.3, 1.0)
    for z in (-0.68, 0.7):
        canvas.solid(pose.world(wheel_outline((0.0, 0.31, z), 0.31)), _BLACK, MOTORCYCLE)
        figure.limb([(-0.06, 0.31, z), (0.06, 0.31, z)], 0.30, _BLACK)
        canvas.paint(pose.world(wheel_outline((0.0, 0.31, z), 0.17)), (112, 114, 118))
    figure.limb([(0.0, 0.36, -0.3), (0.0, 0.40, 0.25)], 0.2, _DARK)
    figure.limb([(0.0, 0.6, -0.75), (0.0, 0.62, -0.2)], 0.13, paint)
    figure.limb([(0.0, 0.7, 0.0), (0.0, 0.82, 0.32)], 0.17, paint)
    figure.limb([(0.0, 0.76, -0.7), (0.0, 0.74, -0.1)], 0.09, _BLACK)
    figure.limb([(0.0, 0.3, 0.7), (0.0, 0.95, 0.42)], 0.05, _CHROME)
    figure.limb([(-0.36, 1.02, 0.3), (0.0, 1.0, 0.42), (0.36, 1.02, 0.3)], 0.025, _DARK)
    figure.limb([(0.14, 0.3, -0.9), (0.14, 0.3, -0.2)], 0.05, _CHROME)
    figure.ball((0.0, 0.88, 0.52), 0.1, _HEAD_LAMP)
    figure.ball((0.0, 0.7, -0.86), 0.06, _TAIL_LAMP)
    if ridden:
        draw_rider(canvas, rng, pose, seat_m=0.84, helmet=True)
