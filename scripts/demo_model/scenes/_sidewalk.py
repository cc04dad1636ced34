"""What is on the sidewalk: furniture, trees, parked cycles, and people, who also cross."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from demo_model.scenes._cycles import draw_bicycle, draw_motorcycle
from demo_model.scenes._furniture import (
    METALS,
    draw_bollard,
    draw_lamp,
    draw_traffic_light,
)
from demo_model.scenes._light import jittered, picked
from demo_model.scenes._people import draw_person
from demo_model.scenes._plan import Side, StreetPlan
from demo_model.scenes._props import Prop
from demo_model.scenes._signs import draw_sign_post
from demo_model.scenes._solids import Pose
from demo_model.scenes._vegetation import draw_bush, draw_tree


def plan_sidewalks(rng: np.random.Generator, plan: StreetPlan) -> Iterator[Prop]:
    """Decide everything between the kerbs and the walls, and who is on a zebra crossing."""
    yield from _plan_crossing_people(rng, plan)
    for side in plan.sides:
        yield from _plan_kerb_line(rng, plan, side)
        yield from _plan_rows(rng, plan, side)
        yield from _plan_signals(rng, plan, side)
        yield from _plan_people(rng, side)
        if rng.random() < 0.65:
            yield from _plan_parked_cycles(rng, side)


def _person(x: float, z: float, heading: float) -> Prop:
    return Prop(x, z, partial(draw_person, pose=Pose(x_m=x, z_m=z, heading_rad=heading)))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Even in the picture, where distance shrinks, rather than on the ground."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _plan_crossing_people(rng: np.random.Generator, plan: StreetPlan) -> Iterator[Prop]:
    for crossing in plan.crossings:
        if crossing.striped and rng.random() < 0.5:
            for _ in range(rng.integers(1, 5)):
                x = rng.uniform(-plan.left.kerb_m, plan.right.kerb_m)
                heading = math.pi / 2 * rng.choice((-1, 1)) + rng.normal(0, 0.2)
                yield _person(x, crossing.start_m - rng.uniform(1.2, 3.8), heading)


def _plan_people(rng: np.random.Generator, side: Side) -> Iterator[Prop]:
    for _ in range(rng.poisson(rng.uniform(1, 9))):
        outer = max(side.wall_m - 0.6, side.kerb_m + 0.9)
        x = side.sign * rng.uniform(side.kerb_m + 0.6, outer)
        z, heading = _log_uniform(rng, 5, 70), rng.choice((0.0, math.pi)) + rng.normal(0, 0.5)
        yield _person(x, z, heading)
        if rng.random() < 0.3:
            yield _person(x + side.sign * 0.6, z + 0.2, heading)


def _plan_kerb_line(rng: np.random.Generator, plan: StreetPlan, side: Side) -> Iterator[Prop]:
    """Lamps, and between them perhaps trees and signs, stand in one line."""
    x = side.sign * (side.kerb_m + rng.uniform(0.35, 0.7))
    spacing, trees = rng.uniform(16, 32), rng.random() < 0.45
    tree_height = rng.uniform(5, 11)
    for z in np.arange(rng.uniform(3, 18), 150, spacing).tolist():
        if plan.is_open(z, 1.0):
            continue
        yield Prop(x, z, partial(draw_lamp, x_m=x, z_m=z, sign=side.sign))
        if trees and not plan.is_open(z + spacing / 2, 2.0):
            at = {"x_m": x + 0.3 * side.sign, "z_m": z + spacing / 2}
            height = tree_height * rng.uniform(0.8, 1.2)
            yield Prop(at["x_m"], at["z_m"], partial(draw_tree, **at, height_m=height))
        if rng.random() < 0.5:
            post = z + spacing * rng.uniform(0.15, 0.4)
            yield Prop(x, post, partial(draw_sign_post, x_m=x, z_m=post))


def _plan_rows(rng: np.random.Generator, plan: StreetPlan, side: Side) -> Iterator[Prop]:
    """Bollards at the kerb, a hedge at the wall."""
    if rng.random() < 0.2:
        x, paint = side.sign * (side.kerb_m + 0.3), jittered(rng, picked(rng, METALS), 0.15)
        for z in np.arange(rng.uniform(4, 15), rng.uniform(20, 50), 1.6).tolist():
            yield Prop(x, z, partial(draw_bollard, x_m=x, z_m=z, paint=paint))
    if side.kind != "offices" and rng.random() < 0.25:
        x = side.sign * (side.wall_m - 0.3)
        for z in np.arange(rng.uniform(5, 25), rng.uniform(25, 50), 1.1).tolist():
            if not plan.is_open(z, 0.5):
                yield Prop(x, z, partial(draw_bush, x_m=x, z_m=z, height_m=1.1))


def _plan_signals(rng: np.random.Generator, plan: StreetPlan, side: Side) -> Iterator[Prop]:
    x = side.sign * (side.kerb_m + 0.5)
    for crossing in plan.crossings:
        if rng.random() < 0.75:
            for z in (crossing.start_m - 4.6, crossing.end_m + 1.0):
                yield Prop(x, z, partial(draw_traffic_light, x_m=x, z_m=z, sign=side.sign))
        elif rng.random() < 0.7:
            z = crossing.start_m - 1.5
            yield Prop(x, z, partial(draw_sign_post, x_m=x, z_m=z))


def _plan_parked_cycles(rng: np.random.Generator, side: Side) -> Iterator[Prop]:
    """A few in a row: side by side at the kerb, or one behind the other at the wall."""
    draw = draw_motorcycle if rng.random() < 0.5 else draw_bicycle
    at_kerb, start = rng.random() < 0.6, _log_uniform(rng, 5, 35)
    inner = side.kerb_m + 0.8
    x = side.sign * (inner if at_kerb else max(side.wall_m - 0.7, inner))
    for index in range(rng.integers(1, 6)):
        heading = rng.normal(math.pi / 2, 0.15) if at_kerb else rng.normal(0, 0.1)
        z = start + index * (0.75 if at_kerb else 2.0)
        pose = Pose(x_m=x, z_m=z, heading_rad=heading)
        yield Prop(x, z, partial(draw, pose=pose, ridden=False))
