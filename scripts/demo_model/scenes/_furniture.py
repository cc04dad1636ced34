"""Poles and what stands on them: street lamps, bollards, traffic lights."""

from __future__ import annotations

import numpy as np

from demo_model.scenes._camera import Float
from demo_model.scenes._canvas import Canvas
from demo_model.scenes._labels import POLE, TRAFFIC_LIGHT
from demo_model.scenes._light import Colour, jittered, picked, scaled

METALS: tuple[Colour, ...] = (
    (112, 116, 118),
    (78, 82, 84),
    (60, 72, 64),
    (148, 150, 150),
    (44, 46, 50),
)
_LIT: tuple[Colour, ...] = ((255, 70, 58), (255, 196, 70), (90, 245, 170))
_UNLIT: tuple[Colour, ...] = ((70, 24, 22), (72, 58, 22), (22, 58, 44))


def draw_metal(canvas: Canvas, rng: np.random.Generator) -> Colour:
    """Choose the colour of a pole, in this light."""
    return scaled(jittered(rng, picked(rng, METALS), 0.15), canvas.light.ambient + 0.2)


def draw_upright(
    canvas: Canvas, x: float, z: float, height: float, radius: float, colour: Colour
) -> None:
    """Draw a pole with a bright edge and its shadow."""
    canvas.limb(np.array([x, 0.0, z]), np.array([x, height, z]), radius, colour, POLE)
    bright = radius * 0.4
    canvas.limb(
        np.array([x - bright, 0.1, z]),
        np.array([x - bright, height, z]),
        radius * 0.3,
        scaled(colour, 1.25),
        None,
    )
    if canvas.light.casts_shadows:
        sun = canvas.light.sun
        reach = height / max(sun[1], 0.3)
        end_x, end_z = x - sun[0] * reach, z - sun[2] * reach
        shadow = [
            (x - radius, 0, z),
            (x + radius, 0, z),
            (end_x + radius, 0, end_z),
            (end_x - radius, 0, end_z),
        ]
        canvas.cast_shadow(np.array(shadow), 200)


def draw_lamp(canvas: Canvas, rng: np.random.Generator, x_m: float, z_m: float, sign: int) -> None:
    """Draw a street lamp whose arm reaches over the road (the side is `sign`)."""
    metal, height = draw_metal(canvas, rng), rng.uniform(5.5, 9)
    reach = rng.uniform(0.8, 2.2)
    draw_upright(canvas, x_m, z_m, height, 0.085, metal)
    top, tip = np.array([x_m, height, z_m]), np.array([x_m - sign * reach, height + 0.35, z_m])
    canvas.limb(top, tip, 0.05, metal, POLE)
    canvas.limb(tip, tip - np.array([sign * 0.55, -0.03, 0]), 0.1, scaled(metal, 1.1), POLE)


def draw_bollard(
    canvas: Canvas, rng: np.random.Generator, x_m: float, z_m: float, paint: Colour
) -> None:
    """Draw a bollard; those of one row have one paint."""
    metal = scaled(paint, canvas.light.ambient + 0.2)
    draw_upright(canvas, x_m, z_m, rng.uniform(0.92, 1.0), 0.07, metal)


def draw_traffic_light(
    canvas: Canvas, rng: np.random.Generator, x_m: float, z_m: float, sign: int
) -> None:
    """Draw a traffic light; one in three also hangs from an arm over the road."""
    metal, phase = draw_metal(canvas, rng), int(rng.choice(3, p=(0.42, 0.13, 0.45)))
    case = jittered(rng, (34, 36, 36) if rng.random() < 0.7 else (196, 150, 40), 0.15)
    arm = rng.random() < 0.35
    height = rng.uniform(5.2, 6.0) if arm else rng.uniform(2.7, 3.4)
    draw_upright(canvas, x_m, z_m, height, 0.075, metal)
    if arm:
        tip = np.array([x_m - sign * rng.uniform(2.5, 5.5), height, z_m])
        canvas.limb(np.array([x_m, height - 0.1, z_m]), tip, 0.055, metal, POLE)
        _draw_signal(canvas, tip - np.array((0.0, 0.1, 0.1)), case, phase)
    _draw_signal(canvas, np.array([x_m, min(height, 3.2) - 0.15, z_m - 0.1]), case, phase)
    if rng.random() < 0.3:
        _draw_signal(canvas, np.array([x_m - sign * 0.3, 2.35, z_m - 0.1]), case, phase)


def _draw_signal(canvas: Canvas, centre_m: Float, case: Colour, phase: int) -> None:
    canvas.solid(plate(centre_m, 0.2, 0.5), case, TRAFFIC_LIGHT)
    for index in range(3):
        lamp = centre_m + np.array((0.0, 0.31 - 0.31 * index, -0.02))
        if index == phase:
            canvas.ball(lamp, 0.15, scaled(_LIT[index], 0.55), None)
        canvas.ball(lamp, 0.105, _LIT[index] if index == phase else _UNLIT[index], None)


def plate(centre_m: Float, half_width: float, half_height: float) -> Float:
    """Place an upright rectangle across the street, `(4, 3)` world points."""
    offsets = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (half_width, half_height)
    corners: Float = centre_m + np.concatenate([offsets, np.zeros((4, 1))], axis=1)
    return corners
