"""Saloons, estate cars and vans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo_model.scenes._camera import Float
from demo_model.scenes._canvas import Canvas
from demo_model.scenes._labels import CAR
from demo_model.scenes._light import Colour, jittered, mixed, picked, scaled
from demo_model.scenes._solids import (
    Box,
    Pose,
    box,
    cast_shadow_under,
    draw_box,
    draw_patch,
    draw_profile,
)
from demo_model.scenes._wheels import Axles, draw_tyres, draw_wheels

PAINTS: tuple[Colour, ...] = (
    (28, 29, 32),
    (60, 62, 66),
    (148, 152, 156),
    (196, 199, 202),
    (226, 227, 226),
    (36, 52, 92),
    (128, 28, 30),
    (52, 84, 132),
    (84, 74, 62),
    (44, 66, 52),
    (176, 150, 60),
    (96, 104, 112),
)
GLASS: Colour = (34, 40, 46)
TAIL_LAMP: Colour = (168, 20, 22)
HEAD_LAMP: Colour = (232, 230, 214)
_PLATE: Colour = (222, 222, 208)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shape:
    """Proportions; Z is a share of half the car's length, back and front."""

    boot: bool
    raised_m: float
    roof_m: tuple[float, float]
    cabin_z: tuple[float, float]
    roof_z: tuple[float, float]


_SHAPES = (
    _Shape(
        boot=True, raised_m=0.0, roof_m=(1.38, 1.48), cabin_z=(-0.70, 0.42), roof_z=(-0.42, 0.10)
    ),
    _Shape(
        boot=False, raised_m=0.0, roof_m=(1.48, 1.72), cabin_z=(-0.96, 0.42), roof_z=(-0.84, 0.08)
    ),
    _Shape(
        boot=False, raised_m=0.12, roof_m=(1.8, 2.05), cabin_z=(-0.98, 0.62), roof_z=(-0.95, 0.30)
    ),
)
_SHARES = (0.45, 0.38, 0.17)


def draw_car(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Draw a car."""
    shape = _SHAPES[rng.choice(len(_SHAPES), p=_SHARES)]
    paint = jittered(rng, picked(rng, PAINTS), 0.2)
    half, width = rng.uniform(1.95, 2.35), rng.uniform(0.84, 0.93)
    belt = rng.uniform(0.86, 0.98) + shape.raised_m
    axles = Axles(half_width_m=width, z_m=(-0.62 * half, 0.64 * half), radius_m=0.33, label=CAR)
    cabin = box(
        width * 0.97,
        (belt - 0.04, rng.uniform(*shape.roof_m)),
        (shape.cabin_z[0] * half, shape.cabin_z[1] * half),
        top_half_width_m=width * 0.76,
        top_z_m=(shape.roof_z[0] * half, shape.roof_z[1] * half),
    )
    cast_shadow_under(canvas, pose, width, half)
    draw_tyres(canvas, pose, axles)
    draw_profile(canvas, pose, _outline(half, belt, boot=shape.boot), width, paint, CAR)
    _draw_flanks(canvas, pose, box(width + 0.005, (0.2, belt), (-half * 0.97, half * 0.97)), paint)
    draw_wheels(canvas, pose, axles)
    draw_box(canvas, pose, cabin.faces, paint, CAR)
    _draw_glass(canvas, pose, cabin)
    _draw_ends(canvas, rng, pose, box(width, (0.3, belt - 0.05), (-half, half)), paint)


def _outline(half: float, belt: float, *, boot: bool) -> Float:
    """Side view without the cabin, `(N, 2)` (forward, up), from back to front."""
    rear = belt + (0.02 if boot else 0.0)
    points = (
        (-0.97 * half, 0.24),
        (-half, 0.48),
        (-0.985 * half, rear - 0.12),
        (-0.94 * half, rear),
        (0.42 * half, belt),
        (0.90 * half, belt - 0.16),
        (0.985 * half, belt - 0.30),
        (half, 0.46),
        (0.97 * half, 0.22),
    )
    return np.array(points)


def _draw_flanks(canvas: Canvas, pose: Pose, skin: Box, paint: Colour) -> None:
    """Sill, crease and door gap."""
    lit = scaled(paint, canvas.light.ambient)
    for face in (skin.left, skin.right):
        draw_patch(canvas, pose, face, (0.02, 0.98, 0.0, 0.18), scaled(lit, 0.35))
        draw_patch(canvas, pose, face, (0.02, 0.98, 0.78, 0.86), scaled(lit, 1.25))
        draw_patch(canvas, pose, face, (0.47, 0.478, 0.2, 1.0), scaled(lit, 0.55))


def _draw_glass(canvas: Canvas, pose: Pose, cabin: Box) -> None:
    mirrored = mixed(GLASS, canvas.light.horizon, 0.22)
    for face in (cabin.front, cabin.back):
        draw_patch(canvas, pose, face, (0.07, 0.93, 0.12, 0.90), mirrored)
        draw_patch(canvas, pose, face, (0.07, 0.93, 0.62, 0.90), scaled(mirrored, 1.25))
    for face in (cabin.left, cabin.right):
        draw_patch(canvas, pose, face, (0.06, 0.47, 0.16, 0.88), scaled(mirrored, 0.85))
        draw_patch(canvas, pose, face, (0.51, 0.92, 0.16, 0.88), scaled(mirrored, 0.85))


def _draw_ends(
    canvas: Canvas, rng: np.random.Generator, pose: Pose, skin: Box, paint: Colour
) -> None:
    """Lamps, plates, bumpers and the grille."""
    tail = scaled(TAIL_LAMP, 1.5 if rng.random() < 0.4 else 1.0)
    dark = scaled(paint, 0.35)
    for left in (0.02, 0.80):
        draw_patch(canvas, pose, skin.back, (left, left + 0.18, 0.55, 0.88), tail)
        draw_patch(canvas, pose, skin.front, (left, left + 0.18, 0.58, 0.82), HEAD_LAMP)
    draw_patch(canvas, pose, skin.back, (0.36, 0.64, 0.42, 0.62), _PLATE)
    draw_patch(canvas, pose, skin.back, (0.03, 0.97, 0.0, 0.2), dark)
    draw_patch(canvas, pose, skin.front, (0.28, 0.72, 0.38, 0.72), scaled(dark, 0.6))
    draw_patch(canvas, pose, skin.front, (0.37, 0.63, 0.18, 0.34), _PLATE)
    draw_patch(canvas, pose, skin.front, (0.03, 0.97, 0.0, 0.14), dark)
