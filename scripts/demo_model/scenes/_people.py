"""People on foot and people who ride."""

from __future__ import annotations

import math

import numpy as np

from demo_model.scenes._canvas import Canvas
from demo_model.scenes._figure import (
    CLOTHES,
    SHOES,
    Figure,
    draw_head,
    draw_outfit,
)
from demo_model.scenes._labels import PERSON, RIDER
from demo_model.scenes._light import Colour, jittered, picked, scaled
from demo_model.scenes._solids import Pose, cast_shadow_under


def draw_person(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Draw somebody who walks or stands; now and then a child."""
    height = rng.normal(1.0, 0.05) * (0.7 if rng.random() < 0.08 else 1.0)
    figure = Figure(canvas=canvas, pose=pose, label=PERSON, scale=height)
    outfit = draw_outfit(canvas, rng)
    stride = rng.uniform(0.05, 0.32)
    cast_shadow_under(canvas, pose, 0.25, 0.25)
    for side, foot, lift in ((-1, stride, 0.0), (1, -stride, 0.06)):
        _draw_leg(figure, side, foot, lift, outfit.trousers)
    _draw_torso(figure, outfit.coat)
    for side, hand in ((-1, -stride * 0.7), (1, stride * 0.7)):
        shoulder, elbow = (side * 0.22, 1.38, 0.0), (side * 0.26, 1.12, hand * 0.3)
        arm = [shoulder, elbow, (side * 0.25, 0.9, hand + 0.06)]
        figure.limb(arm, 0.052, scaled(outfit.coat, 0.88))
    if rng.random() < 0.3:
        rucksack = jittered(rng, picked(rng, CLOTHES), 0.2)
        figure.limb([(0.0, 1.35, -0.2), (0.0, 1.08, -0.2)], 0.14, rucksack)
    if rng.random() < 0.25:
        skirt = [(0.0, 0.85, 0.0), (0.0, 0.6, 0.0)]
        figure.limb(skirt, 0.17, scaled(outfit.coat, 0.95))
    draw_head(figure, outfit, (0.0, 1.6, 0.04))


def _draw_leg(figure: Figure, side: int, foot: float, lift: float, trousers: Colour) -> None:
    hip, knee = (side * 0.09, 0.88, 0.0), (side * 0.1, 0.48, foot * 0.55 + 0.04)
    figure.limb([hip, knee, (side * 0.1, 0.08 + lift, foot)], 0.075, trousers)
    heel, toe = (side * 0.1, 0.05 + lift, foot - 0.04), (side * 0.11, 0.05 + lift, foot + 0.16)
    figure.limb([heel, toe], 0.045, SHOES)


def _draw_torso(figure: Figure, coat: Colour) -> None:
    lean = 0.03
    figure.limb([(-0.08, 0.92, 0.0), (-0.13, 1.36, lean)], 0.11, coat)
    figure.limb([(0.08, 0.92, 0.0), (0.13, 1.36, lean)], 0.11, scaled(coat, 0.9))
    figure.limb([(-0.12, 1.38, lean), (0.12, 1.38, lean)], 0.09, scaled(coat, 1.08))
    figure.limb([(0.0, 0.98, 0.0), (0.0, 1.3, lean)], 0.12, scaled(coat, 1.02))


def draw_rider(
    canvas: Canvas, rng: np.random.Generator, pose: Pose, *, seat_m: float, helmet: bool
) -> None:
    """Draw somebody in the saddle of a bicycle or a motorcycle at the same pose."""
    figure = Figure(canvas=canvas, pose=pose, label=RIDER)
    outfit = draw_outfit(canvas, rng)
    turn = rng.uniform(0, 2 * math.pi)
    shoulder, hip = seat_m + 0.5, seat_m + 0.02
    for side, phase in ((-1, turn), (1, turn + math.pi)):
        foot = (side * 0.12, 0.32 + 0.15 * math.sin(phase), -0.05 + 0.15 * math.cos(phase))
        knee = (side * 0.13, (hip + foot[1]) / 2 + 0.1, 0.18)
        figure.limb([(side * 0.09, hip, -0.2), knee, foot], 0.075, outfit.trousers)
        figure.limb([foot, (foot[0], foot[1] - 0.02, foot[2] + 0.16)], 0.045, SHOES)
    figure.limb([(-0.06, hip, -0.22), (-0.12, shoulder, 0.02)], 0.12, outfit.coat)
    figure.limb([(0.06, hip, -0.22), (0.12, shoulder, 0.02)], 0.12, scaled(outfit.coat, 0.92))
    figure.limb([(0.0, hip + 0.1, -0.2), (0.0, shoulder, 0.0)], 0.13, scaled(outfit.coat, 1.03))
    for side in (-1, 1):
        elbow = (side * 0.27, shoulder - 0.24, 0.14)
        arm = [(side * 0.21, shoulder, 0.03), elbow, (side * 0.25, 1.02, 0.3)]
        figure.limb(arm, 0.055, scaled(outfit.coat, 0.88))
    shell = jittered(rng, picked(rng, CLOTHES), 0.3) if helmet else None
    draw_head(figure, outfit, (0.0, shoulder + 0.25, 0.08), shell)
