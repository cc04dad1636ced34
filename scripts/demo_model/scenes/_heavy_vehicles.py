"""Trucks, buses and trams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo_model.scenes._canvas import Canvas
from demo_model.scenes._cars import GLASS, HEAD_LAMP, PAINTS, TAIL_LAMP
from demo_model.scenes._labels import BUS, TRAIN, TRUCK
from demo_model.scenes._light import Colour, jittered, mixed, picked, scaled
from demo_model.scenes._solids import (
    Box,
    Pose,
    box,
    cast_shadow_under,
    distance_of,
    draw_box,
    draw_patch,
    sees,
)
from demo_model.scenes._wheels import Axles, draw_tyres, draw_wheels

_LIVERIES: tuple[Colour, ...] = (
    (186, 42, 38),
    (222, 214, 196),
    (214, 168, 44),
    (40, 92, 148),
    (58, 128, 84),
    (228, 228, 226),
)
_LOADS: tuple[Colour, ...] = (
    (226, 226, 222),
    (188, 190, 196),
    (70, 94, 148),
    (164, 60, 48),
    (86, 110, 84),
)
_CREAM: Colour = (236, 232, 220)
_CHASSIS: Colour = (44, 44, 46)
_ROOF: Colour = (120, 122, 126)
_DISPLAY: Colour = (236, 168, 48)


def draw_truck(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Draw a lorry: a cab and a load."""
    half, width = rng.uniform(3.2, 5.0), rng.uniform(1.1, 1.25)
    paint = jittered(rng, picked(rng, PAINTS), 0.2)
    load = jittered(rng, picked(rng, _LOADS), 0.15)
    cab_back = half - rng.uniform(1.7, 2.2)
    cab_y = (0.55, rng.uniform(2.3, 2.8))
    cab = box(width * 0.97, cab_y, (cab_back, half), top_z_m=(cab_back, half - 0.25))
    cargo = box(width, (1.0, rng.uniform(2.7, 3.7)), (-half, cab_back - 0.25))
    chassis = box(width * 0.8, (0.45, 1.0), (-half + 0.1, half - 0.1))
    axles = Axles(
        half_width_m=width, z_m=(-0.62 * half, -0.36 * half, half - 1.1), radius_m=0.5, label=TRUCK
    )
    cast_shadow_under(canvas, pose, width, half)
    draw_tyres(canvas, pose, axles)
    draw_box(canvas, pose, chassis.faces, _CHASSIS, TRUCK)
    cab_is_nearer = distance_of(canvas, pose, half) < distance_of(canvas, pose, -half)
    if not cab_is_nearer:
        _draw_cab(canvas, pose, cab, paint)
    _draw_load(canvas, rng, pose, cargo, load)
    if cab_is_nearer:
        _draw_cab(canvas, pose, cab, paint)
    draw_wheels(canvas, pose, axles)


def _draw_cab(canvas: Canvas, pose: Pose, cab: Box, paint: Colour) -> None:
    glass = mixed(GLASS, canvas.light.horizon, 0.2)
    draw_box(canvas, pose, cab.faces, paint, TRUCK)
    draw_patch(canvas, pose, cab.front, (0.06, 0.94, 0.48, 0.88), glass)
    draw_patch(canvas, pose, cab.front, (0.2, 0.8, 0.14, 0.36), scaled(paint, 0.35))
    for left in (0.03, 0.83):
        draw_patch(canvas, pose, cab.front, (left, left + 0.14, 0.06, 0.18), HEAD_LAMP)
    for face in (cab.left, cab.right):
        draw_patch(canvas, pose, face, (0.2, 0.85, 0.5, 0.86), glass)


def _draw_load(
    canvas: Canvas, rng: np.random.Generator, pose: Pose, cargo: Box, colour: Colour
) -> None:
    """A box or a tarpaulin; every other one has something painted on its sides."""
    draw_box(canvas, pose, cargo.faces, colour, TRUCK)
    advert = jittered(rng, picked(rng, _LIVERIES), 0.2) if rng.random() < 0.5 else None
    for face in (cargo.left, cargo.right):
        draw_patch(canvas, pose, face, (0.0, 1.0, 0.0, 0.04), scaled(colour, 0.5))
        if advert is not None:
            draw_patch(canvas, pose, face, (0.12, 0.7, 0.35, 0.7), scaled(advert, 0.9))
    draw_patch(canvas, pose, cargo.back, (0.49, 0.51, 0.0, 1.0), scaled(colour, 0.45))
    draw_patch(canvas, pose, cargo.back, (0.03, 0.97, 0.0, 0.05), _CHASSIS)
    for left in (0.04, 0.84):
        draw_patch(canvas, pose, cargo.back, (left, left + 0.12, 0.0, 0.07), TAIL_LAMP)


def draw_bus(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Draw a city bus; one in five has two decks."""
    half, width = rng.uniform(5.0, 6.2), 1.25
    paint = jittered(rng, picked(rng, _LIVERIES), 0.15)
    glass = mixed(GLASS, canvas.light.horizon, 0.15)
    double = rng.random() < 0.2
    top = 4.2 if double else rng.uniform(2.9, 3.2)
    hull = box(width, (0.3, top), (-half, half), top_half_width_m=1.2)
    axles = Axles(half_width_m=width, z_m=(-0.55 * half, 0.58 * half), radius_m=0.48, label=BUS)
    cast_shadow_under(canvas, pose, width, half)
    draw_tyres(canvas, pose, axles)
    draw_box(canvas, pose, hull.faces, paint, BUS)
    for low, high in ((0.30, 0.50), (0.68, 0.88)) if double else ((0.36, 0.80),):
        _draw_windows(canvas, pose, hull, low, high, count=7, glass=glass)
    _draw_bus_ends(canvas, pose, hull, paint, glass)
    draw_wheels(canvas, pose, axles)


def _draw_bus_ends(canvas: Canvas, pose: Pose, hull: Box, paint: Colour, glass: Colour) -> None:
    draw_patch(canvas, pose, hull.front, (0.05, 0.95, 0.28, 0.80), glass)
    draw_patch(canvas, pose, hull.front, (0.22, 0.78, 0.83, 0.95), (28, 28, 26))
    draw_patch(canvas, pose, hull.front, (0.3, 0.7, 0.86, 0.92), _DISPLAY)
    draw_patch(canvas, pose, hull.back, (0.1, 0.9, 0.5, 0.82), glass)
    draw_patch(canvas, pose, hull.back, (0.2, 0.8, 0.1, 0.3), scaled(paint, 0.5))
    for left in (0.03, 0.87):
        draw_patch(canvas, pose, hull.front, (left, left + 0.1, 0.08, 0.16), HEAD_LAMP)
        draw_patch(canvas, pose, hull.back, (left, left + 0.1, 0.14, 0.36), TAIL_LAMP)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tram:
    """What the cars of one tram have in common."""

    half_length_m: float
    paint: Colour
    skirt: Colour


def draw_tram_look(rng: np.random.Generator) -> Tram:
    """Choose a tram; half of them are cream below the windows."""
    paint = jittered(rng, picked(rng, _LIVERIES), 0.15)
    skirt = mixed(paint, _CREAM, 0.8) if rng.random() < 0.5 else paint
    return Tram(half_length_m=rng.uniform(4.5, 6.0), paint=paint, skirt=skirt)


def draw_tram_car(canvas: Canvas, rng: np.random.Generator, pose: Pose, tram: Tram) -> None:
    """Draw one car of a tram; Cityscapes calls it a train."""
    del rng  # all cars of a tram look alike
    half, width = tram.half_length_m, 1.22
    glass = mixed(GLASS, canvas.light.horizon, 0.12)
    skirt = box(width, (0.15, 1.25), (-half, half))
    top_z = (0.3 - half, half - 0.3)
    hull = box(width, (1.25, 3.4), (-half, half), top_half_width_m=1.1, top_z_m=top_z)
    roof = box(0.7, (3.4, 3.75), (1.5 - half, half - 1.5))
    cast_shadow_under(canvas, pose, width, half)
    for part, paint in ((skirt, tram.skirt), (hull, tram.paint), (roof, _ROOF)):
        draw_box(canvas, pose, part.faces, paint, TRAIN)
    _draw_windows(canvas, pose, hull, 0.1, 0.7, count=6, glass=glass)
    for face in (hull.front, hull.back):
        draw_patch(canvas, pose, face, (0.1, 0.9, 0.05, 0.66), glass)
        draw_patch(canvas, pose, face, (0.25, 0.75, 0.76, 0.92), _DISPLAY)
    for left in (0.08, 0.8):
        draw_patch(canvas, pose, skirt.front, (left, left + 0.12, 0.5, 0.66), HEAD_LAMP)
        draw_patch(canvas, pose, skirt.back, (left, left + 0.12, 0.5, 0.66), TAIL_LAMP)


def _draw_windows(
    canvas: Canvas, pose: Pose, hull: Box, low: float, high: float, *, count: int, glass: Colour
) -> None:
    """Draw a row of windows on either side; the second and the fifth are doors."""
    for face in (hull.left, hull.right):
        if not sees(canvas, pose, face.corners_m):
            continue
        for index in range(count):
            u0 = 0.03 + 0.94 * index / count
            u1 = u0 + 0.94 / count - 0.015
            sill = 0.06 if index in (1, 4) else low
            canvas.paint(pose.world(face.patch(u0, u1, sill, high)), glass)
            canvas.paint(pose.world(face.patch(u0, u1, high - 0.1, high)), scaled(glass, 1.3))
