"""The plan of one street: where the kerbs are, what stands on either side, what drives where."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from demo_model.scenes._camera import Camera

FAR_M = 220.0
"""The street ends here."""
SideKind = Literal["houses", "offices", "park", "yards"]
EndKind = Literal["buildings", "trees", "open"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One side of the street. `sign` is +1 right, -1 left; X is measured outwards from 0."""

    sign: int
    kind: SideKind
    kerb_m: float
    walk_m: float
    parking_m: float
    verge_m: float

    @property
    def wall_m(self) -> float:
        """Where the sidewalk ends and private ground starts."""
        return self.kerb_m + self.walk_m

    @property
    def facade_m(self) -> float:
        """Where houses stand."""
        return self.wall_m + (0.0 if self.kind in ("houses", "offices") else 5.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """A lane: X of its middle, and which way it goes (+1 as the camera, -1 towards it)."""

    x_m: float
    direction: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossing:
    """A side street: it opens both sides between two Z."""

    start_m: float
    end_m: float
    striped: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class StreetPlan:
    """Everything that is decided before anything is drawn."""

    left: Side
    right: Side
    lanes: tuple[Lane, ...]
    lane_width_m: float
    tracks_x_m: float | None
    crossings: tuple[Crossing, ...]
    end: EndKind

    @property
    def sides(self) -> tuple[Side, Side]:
        """Left, then right."""
        return self.left, self.right

    def is_open(self, z_m: float, margin_m: float = 0.0) -> bool:
        """Whether a side street passes at this Z."""
        return any(
            crossing.start_m - margin_m < z_m < crossing.end_m + margin_m
            for crossing in self.crossings
        )


def draw_camera(rng: np.random.Generator, height_px: int, width_px: int) -> Camera:
    """Choose a camera: mostly a car's windscreen, sometimes a van's or a hand-held one."""
    return Camera(
        height_px=height_px,
        width_px=width_px,
        focal_px=width_px * rng.uniform(0.75, 1.2),
        centre_x_px=width_px * rng.uniform(0.42, 0.58),
        horizon_px=height_px * rng.uniform(0.36, 0.54),
        height_m=rng.uniform(1.2, 1.8) if rng.random() < 0.75 else rng.uniform(1.8, 3.2),
        yaw_rad=float(rng.normal(0.0, 0.06)),
        curvature_per_m=float(rng.normal(0.0, 0.0012)) if rng.random() < 0.5 else 0.0,
    )


def draw_plan(rng: np.random.Generator) -> StreetPlan:
    """Choose the plan of a street; the camera drives on the right, in the lane at X = 0."""
    width = rng.uniform(2.9, 3.6)
    ahead, against = rng.choice((1, 1, 2), size=2).tolist()
    lanes = [Lane(x_m=width * index, direction=1) for index in range(ahead)]
    offset = -width
    tracks = None
    if rng.random() < 0.4:
        tracks = offset
        offset -= width
    lanes += [Lane(x_m=offset - width * index, direction=-1) for index in range(against)]
    left_edge = -offset + width * (against - 1) + width / 2
    right_edge = width * (ahead - 1) + width / 2
    return StreetPlan(
        left=_draw_side(rng, -1, left_edge),
        right=_draw_side(rng, 1, right_edge),
        lanes=tuple(lanes),
        lane_width_m=width,
        tracks_x_m=tracks,
        crossings=_draw_crossings(rng),
        end=("buildings", "trees", "open")[rng.choice(3, p=(0.5, 0.3, 0.2))],
    )


def _draw_side(rng: np.random.Generator, sign: int, edge_m: float) -> Side:
    parking = rng.uniform(2.0, 2.4) if rng.random() < 0.6 else 0.0
    kinds: tuple[SideKind, ...] = ("houses", "offices", "park", "yards")
    return Side(
        sign=sign,
        kind=kinds[rng.choice(4, p=(0.35, 0.2, 0.2, 0.25))],
        kerb_m=edge_m + parking + rng.uniform(0.1, 0.5),
        walk_m=rng.uniform(2.2, 6.5),
        parking_m=parking,
        verge_m=rng.uniform(0.8, 2.0) if rng.random() < 0.3 else 0.0,
    )


def _draw_crossings(rng: np.random.Generator) -> tuple[Crossing, ...]:
    crossings, z = [], rng.uniform(10, 45)
    while z < 150 and rng.random() < 0.75:
        end = z + rng.uniform(8, 14)
        crossings.append(Crossing(start_m=z, end_m=end, striped=rng.random() < 0.6))
        z = end + math.exp(rng.uniform(math.log(35), math.log(90)))
    return tuple(crossings)
