"""Vehicles on the road and next to it: traffic, trams, parked cars, what crosses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from demo_model.scenes._canvas import Canvas
from demo_model.scenes._cars import draw_car
from demo_model.scenes._cycles import draw_bicycle, draw_motorcycle
from demo_model.scenes._heavy_vehicles import (
    draw_bus,
    draw_tram_car,
    draw_tram_look,
    draw_truck,
)
from demo_model.scenes._plan import Lane, Side, StreetPlan
from demo_model.scenes._props import Prop
from demo_model.scenes._solids import Pose

AHEAD, TOWARDS_CAMERA = 0.0, math.pi


class _DrawVehicle(Protocol):
    def __call__(self, canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """What drives in a lane; `share` of all vehicles, far above real life where rare there."""

    share: float
    length_m: float
    draw: _DrawVehicle
    keeps_right: bool = False


_KINDS = (
    _Kind(share=0.48, length_m=5.0, draw=draw_car),
    _Kind(share=0.12, length_m=9.0, draw=draw_truck),
    _Kind(share=0.12, length_m=12.5, draw=draw_bus),
    _Kind(share=0.13, length_m=2.5, draw=partial(draw_motorcycle, ridden=True), keeps_right=True),
    _Kind(share=0.15, length_m=2.0, draw=partial(draw_bicycle, ridden=True), keeps_right=True),
)


def plan_traffic(rng: np.random.Generator, plan: StreetPlan) -> Iterator[Prop]:
    """Decide what drives and what is parked at the kerb."""
    for lane in plan.lanes:
        yield from _plan_lane(rng, plan, lane)
    if plan.tracks_x_m is not None and rng.random() < 0.85:
        yield from _plan_tram(rng, plan.tracks_x_m)
    if plan.crossings and rng.random() < 0.4:
        yield _plan_turning(rng, plan)
    for side in plan.sides:
        if side.parking_m:
            yield from _plan_parked(rng, plan, side)


def _vehicle(draw: _DrawVehicle, x: float, z: float, heading: float) -> Prop:
    return Prop(x, z, partial(draw, pose=Pose(x_m=x, z_m=z, heading_rad=heading)))


def _plan_lane(rng: np.random.Generator, plan: StreetPlan, lane: Lane) -> Iterator[Prop]:
    density = rng.uniform(0.3, 1.0)
    z = rng.uniform(9, 30) if lane.x_m == 0.0 else rng.uniform(5, 24)
    while z < 120:
        kind = _KINDS[rng.choice(len(_KINDS), p=[kind.share for kind in _KINDS])]
        z += kind.length_m / 2
        if rng.random() < density:
            x = lane.x_m + rng.normal(0, 0.15)
            if kind.keeps_right:
                x += lane.direction * plan.lane_width_m * rng.uniform(0.05, 0.33)
            heading = (AHEAD if lane.direction > 0 else TOWARDS_CAMERA) + rng.normal(0, 0.03)
            yield _vehicle(kind.draw, x, z, heading)
        z += kind.length_m / 2 + math.exp(rng.uniform(math.log(3), math.log(30)))


def _plan_tram(rng: np.random.Generator, x: float) -> Iterator[Prop]:
    """Two or three cars, coupled."""
    tram = draw_tram_look(rng)
    draw = partial(draw_tram_car, tram=tram)
    heading, start = (TOWARDS_CAMERA if rng.random() < 0.6 else AHEAD), rng.uniform(12, 45)
    for index in range(rng.integers(2, 4)):
        yield _vehicle(draw, x, start + index * (2 * tram.half_length_m + 0.5), heading)


def _plan_turning(rng: np.random.Generator, plan: StreetPlan) -> Prop:
    """Something passes through the first side street, across the view."""
    crossing = plan.crossings[0]
    z = (crossing.start_m + crossing.end_m) / 2
    heading = math.pi / 2 * rng.choice((-1, 1))
    draw = partial(draw_bicycle, ridden=True) if rng.random() < 0.35 else draw_car
    return _vehicle(draw, rng.uniform(-12, 12), z, heading)


def _plan_parked(rng: np.random.Generator, plan: StreetPlan, side: Side) -> Iterator[Prop]:
    density, z = rng.uniform(0.4, 0.95), rng.uniform(4.5, 8)
    x = side.sign * (side.kerb_m - side.parking_m / 2)
    while z < 110:
        if rng.random() < density and not plan.is_open(z, 8.0):
            heading = (AHEAD if side.sign > 0 else TOWARDS_CAMERA) + rng.normal(0, 0.03)
            if rng.random() < 0.04:
                yield _vehicle(draw_truck, x, z + 2.5, heading)
                z += 5.0
            else:
                yield _vehicle(draw_car, x, z, heading)
        z += rng.uniform(5.2, 6.5)
