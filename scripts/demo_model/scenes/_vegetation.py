"""Trees, bushes and hedges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from demo_model.scenes._camera import Float
from demo_model.scenes._canvas import Canvas
from demo_model.scenes._labels import VEGETATION
from demo_model.scenes._light import Colour, jittered, picked, scaled
from demo_model.scenes._plan import FAR_M, Side, StreetPlan
from demo_model.scenes._props import Prop, draw_props

_GREENS: tuple[Colour, ...] = (
    (70, 96, 44),
    (86, 110, 50),
    (58, 82, 46),
    (100, 112, 56),
    (62, 78, 40),
    (124, 116, 52),
)
_BARK: Colour = (84, 72, 60)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Habit:
    """How a kind of tree grows; `spread` is half the crown's width as a share of the height."""

    share: float
    branches: int
    clumps: int
    spread: tuple[float, float]


_HABITS = (
    _Habit(share=0.80, branches=6, clumps=7, spread=(0.26, 0.36)),
    _Habit(share=0.13, branches=6, clumps=7, spread=(0.13, 0.13)),
    _Habit(share=0.07, branches=22, clumps=0, spread=(0.0, 0.0)),
)
"""Broad, slim, bare."""


def draw_tree(
    canvas: Canvas, rng: np.random.Generator, x_m: float, z_m: float, height_m: float
) -> None:
    """Draw a tree, mostly a broad one."""
    habit = _HABITS[rng.choice(len(_HABITS), p=[habit.share for habit in _HABITS])]
    fork_m = height_m * rng.uniform(0.28, 0.42)
    fork = np.array([x_m + rng.uniform(-0.2, 0.2), fork_m, z_m])
    _cast_crown_shadow(canvas, x_m, z_m, height_m)
    _draw_wood(canvas, rng, np.array([x_m, 0.0, z_m]), fork, height_m, habit.branches)
    green, spread = _leaf_green(canvas, rng), height_m * rng.uniform(*habit.spread)
    crown_m = height_m - fork_m
    for _ in range(habit.clumps):
        angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.random()) * 0.75
        lift = reach * math.sin(angle) * 0.33 * crown_m
        aside, depth = spread * reach * math.cos(angle), rng.uniform(-0.3, 0.3)
        centre = fork + np.array([aside, crown_m / 2 + lift, depth])
        radius = spread * rng.uniform(0.6, 0.95)
        shade = scaled(green, 0.9 + 0.4 * lift / height_m)
        canvas.leaves(rng, centre, radius, shade, VEGETATION)


def _leaf_green(canvas: Canvas, rng: np.random.Generator) -> Colour:
    level = canvas.light.ambient + 0.35 * canvas.light.sun_strength
    return scaled(jittered(rng, picked(rng, _GREENS), 0.25), level)


def _draw_wood(
    canvas: Canvas, rng: np.random.Generator, foot: Float, fork: Float, height: float, branches: int
) -> None:
    bark = scaled(jittered(rng, _BARK, 0.3), canvas.light.ambient + 0.1)
    trunk = max(0.07, height * 0.015)
    canvas.limb(foot, fork, trunk, bark, VEGETATION)
    for angle in rng.uniform(0, 2 * math.pi, size=branches).tolist():
        reach, rise = rng.uniform(0.08, 0.3), rng.uniform(0.25, 0.55)
        aside, depth = reach * math.cos(angle), 0.3 * reach * math.sin(angle)
        tip = fork + height * np.array([aside, rise, depth])
        bend = (fork + tip) / 2 + height * np.array([0.03 * math.cos(angle), 0.02, 0.0])
        canvas.limb(fork, bend, trunk * 0.4, scaled(bark, 0.9), VEGETATION)
        canvas.limb(bend, tip, trunk * 0.2, scaled(bark, 0.85), VEGETATION)


def _cast_crown_shadow(canvas: Canvas, x_m: float, z_m: float, height_m: float) -> None:
    if not canvas.light.casts_shadows:
        return
    sun = canvas.light.sun
    reach = min(0.7 * height_m / max(sun[1], 0.25), 25.0)
    angle = np.linspace(0, 2 * math.pi, 11)[:-1]
    for share, radius in ((0.8, 0.22), (1.0, 0.3), (1.2, 0.2)):
        x = x_m - sun[0] * reach * share + radius * height_m * np.cos(angle)
        z = z_m - sun[2] * reach * share + radius * height_m * np.sin(angle)
        canvas.cast_shadow(np.stack([x, 0 * x, z], axis=1), 190)


def draw_bush(
    canvas: Canvas, rng: np.random.Generator, x_m: float, z_m: float, height_m: float
) -> None:
    """Draw a bush; a row of them is a hedge."""
    green = _leaf_green(canvas, rng)
    for _ in range(3):
        x, y = x_m + rng.uniform(-0.4, 0.4) * height_m, height_m * rng.uniform(0.35, 0.55)
        canvas.leaves(rng, np.array([x, y, z_m]), height_m * 0.62, green, VEGETATION)


def draw_greenery(canvas: Canvas, rng: np.random.Generator, plan: StreetPlan, side: Side) -> None:
    """Draw what grows behind the sidewalk of one side, in parks and front gardens."""
    if side.kind in ("houses", "offices"):
        return
    park = side.kind == "park"
    props = []
    for row in np.arange(4.0, 130.0, 4.5).tolist():
        if plan.is_open(row, 2.0) or rng.random() > (0.9 if park else 0.6):
            continue
        z = row + rng.uniform(-1.5, 1.5)
        x = side.sign * (side.wall_m + (rng.uniform(1, 14) if park else rng.uniform(0.8, 4)))
        tall = rng.random() < (0.55 if park else 0.3)
        height = rng.uniform(6, 14) if tall else rng.uniform(0.8, 2.2)
        draw = draw_tree if tall else draw_bush
        props.append(Prop(x, z, partial(draw, x_m=x, z_m=z, height_m=height)))
    draw_props(canvas, rng, props)


def draw_woods(canvas: Canvas, rng: np.random.Generator, plan: StreetPlan) -> None:
    """Draw the trees on the horizon, at the end of the street and beyond parks."""
    density = 1.0 if plan.end == "trees" else 0.45
    for z in (FAR_M * 1.25, FAR_M):
        for x in np.arange(-170, 170, 9).tolist():
            if rng.random() < density:
                height = rng.uniform(5, 15)
                green = scaled(jittered(rng, picked(rng, _GREENS), 0.2), 0.8)
                centre = np.array([x + rng.uniform(-4, 4), height * 0.42, z])
                canvas.leaves(rng, centre, height * 0.7, green, VEGETATION)
