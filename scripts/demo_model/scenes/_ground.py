"""The ground: road, kerbs, sidewalks, verges, and what is painted or laid on them."""

from __future__ import annotations

import numpy as np

from demo_model.scenes._camera import Float
from demo_model.scenes._canvas import Canvas
from demo_model.scenes._labels import ROAD, SIDEWALK, TERRAIN
from demo_model.scenes._light import Colour, jittered, picked, scaled
from demo_model.scenes._plan import FAR_M, Side, StreetPlan

_ASPHALT: Colour = (102, 102, 106)
_PAVINGS: tuple[Colour, ...] = ((150, 146, 140), (136, 128, 124), (160, 146, 132))
_GRASSES: tuple[Colour, ...] = ((104, 116, 62), (88, 112, 52), (136, 124, 84))
_WHITE: Colour = (205, 205, 200)
_YELLOW: Colour = (205, 165, 60)
_BREAKS_M = (-3.0, 0.7, 1.5, 2.5, 4, 6, 9, 13, 19, 27, 38, 52, 70, 95, 130, 170, FAR_M)
"""Where long strips are broken so that they follow a bend."""


def draw_ground(canvas: Canvas, rng: np.random.Generator, plan: StreetPlan) -> None:
    """Draw everything flat."""
    asphalt = jittered(rng, _ASPHALT, 0.22)
    paving = jittered(rng, picked(rng, _PAVINGS), 0.15)
    grass = jittered(rng, picked(rng, _GRASSES), 0.2)
    built_up = plan.end == "buildings"
    beyond = (paving, SIDEWALK) if built_up else (grass, TERRAIN)
    strip(canvas, -600, 600, -3, 3 * FAR_M, *beyond)
    for side in plan.sides:
        paved = side.kind in ("houses", "offices")
        private = (paving, SIDEWALK) if paved else (grass, TERRAIN)
        _side_strip(canvas, side, side.wall_m, side.wall_m + 60, *private)
    strip(canvas, -plan.left.kerb_m, plan.right.kerb_m, -3, FAR_M, asphalt, ROAD)
    for side in plan.sides:
        _draw_walk(canvas, side, paving, grass)
    for crossing in plan.crossings:
        strip(canvas, -70, 70, crossing.start_m, crossing.end_m, asphalt, ROAD)
    _draw_patches(canvas, rng, plan, asphalt)
    _draw_markings(canvas, rng, plan)
    if plan.tracks_x_m is not None:
        _draw_tracks(canvas, plan.tracks_x_m)


def strip_outline(x0: float, x1: float, z0: float, z1: float, y: float = 0.0) -> Float:
    """Outline a level strip along the street, `(N, 3)`, broken so that it can bend."""
    breaks = [z0, *(z for z in _BREAKS_M if z0 < z < z1), z1]
    near = [(x0, y, z) for z in breaks]
    return np.array(near + [(x1, y, z) for z in reversed(breaks)])


def strip(
    canvas: Canvas, x0: float, x1: float, z0: float, z1: float, colour: Colour, label: int | None
) -> None:
    """Draw a level strip along the street."""
    outline = strip_outline(x0, x1, z0, z1)
    lit = canvas.light.shade(colour, (0.0, 1.0, 0.0))
    if label is None:
        canvas.paint(outline, lit)
    else:
        canvas.solid(outline, lit, label)


def _side_strip(
    canvas: Canvas, side: Side, inner_m: float, outer_m: float, colour: Colour, label: int
) -> None:
    strip(canvas, side.sign * inner_m, side.sign * outer_m, -3, FAR_M, colour, label)


def _draw_walk(canvas: Canvas, side: Side, paving: Colour, grass: Colour) -> None:
    inner = side.kerb_m
    _side_strip(canvas, side, inner, side.wall_m, paving, SIDEWALK)
    _side_strip(canvas, side, inner, inner + 0.16, scaled(paving, 1.18), SIDEWALK)
    _side_strip(canvas, side, inner - 0.06, inner, scaled(paving, 0.62), SIDEWALK)
    if side.verge_m:
        _side_strip(canvas, side, inner + 0.16, inner + 0.16 + side.verge_m, grass, TERRAIN)


def _draw_patches(
    canvas: Canvas, rng: np.random.Generator, plan: StreetPlan, asphalt: Colour
) -> None:
    for _ in range(rng.integers(0, 5)):
        x0 = rng.uniform(-plan.left.kerb_m, plan.right.kerb_m - 2)
        z0 = rng.uniform(3, 40)
        x1 = min(x0 + rng.uniform(0.6, 3), plan.right.kerb_m)
        colour = scaled(asphalt, rng.uniform(0.82, 1.12))
        strip(canvas, x0, x1, z0, z0 + rng.uniform(1, 15), colour, None)
    for _ in range(rng.integers(0, 3)):
        angle = np.linspace(0, 2 * np.pi, 13)[:-1]
        x, z = rng.uniform(-plan.left.kerb_m, plan.right.kerb_m), rng.uniform(5, 30)
        lid = np.stack([x + 0.33 * np.cos(angle), 0 * angle, z + 0.33 * np.sin(angle)], axis=1)
        canvas.paint(lid, scaled(asphalt, 0.6))


def _draw_markings(canvas: Canvas, rng: np.random.Generator, plan: StreetPlan) -> None:
    paint = scaled(_WHITE, rng.uniform(0.75, 1.1))
    half = plan.lane_width_m / 2
    _draw_lane_lines(canvas, rng, plan, paint)
    for side in plan.sides:
        if rng.random() < 0.5:
            x = side.sign * (side.kerb_m - side.parking_m - 0.25)
            _solid_line(canvas, plan, x, paint)
    for crossing in plan.crossings:
        if crossing.striped:
            z = crossing.start_m
            _draw_zebra(canvas, plan, z - 4.0, paint)
            strip(canvas, -half, plan.right.kerb_m, z - 6.0, z - 5.6, paint, None)


def _draw_lane_lines(
    canvas: Canvas, rng: np.random.Generator, plan: StreetPlan, paint: Colour
) -> None:
    """Dashed lines between lanes; the middle of the road may be yellow or solid."""
    half = plan.lane_width_m / 2
    left, right = (side.kerb_m - side.parking_m - 1.0 for side in plan.sides)
    centre = jittered(rng, _YELLOW, 0.1) if rng.random() < 0.25 else paint
    solid_centre = rng.random() < 0.4
    borders = {round(lane.x_m + sign * half, 2) for lane in plan.lanes for sign in (-1, 1)}
    for x in sorted(x for x in borders if -left < x < right):
        in_the_middle = abs(x + half) < 0.05
        if in_the_middle and solid_centre:
            _solid_line(canvas, plan, x, centre)
        else:
            _dashed_line(canvas, rng, plan, x, centre if in_the_middle else paint)


def _solid_line(canvas: Canvas, plan: StreetPlan, x: float, colour: Colour) -> None:
    z = -2.0
    for crossing in (*plan.crossings, None):
        end = crossing.start_m - 5 if crossing else FAR_M * 0.7
        if end > z:
            strip(canvas, x - 0.07, x + 0.07, z, end, colour, None)
        z = crossing.end_m + 1 if crossing else z


def _dashed_line(
    canvas: Canvas, rng: np.random.Generator, plan: StreetPlan, x: float, colour: Colour
) -> None:
    length, gap = rng.uniform(2, 4), rng.uniform(3, 6)
    for z in np.arange(rng.uniform(-4, 2), 110, length + gap).tolist():
        if not plan.is_open(z + length / 2, 5.0):
            strip(canvas, x - 0.075, x + 0.075, z, z + length, colour, None)


def _draw_zebra(canvas: Canvas, plan: StreetPlan, z: float, colour: Colour) -> None:
    for x in np.arange(-plan.left.kerb_m + 0.4, plan.right.kerb_m - 0.5, 1.0).tolist():
        strip(canvas, x, x + 0.5, z, z + 3.0, colour, None)


def _draw_tracks(canvas: Canvas, x_m: float) -> None:
    for rail in (x_m - 0.72, x_m + 0.72):
        strip(canvas, rail - 0.09, rail + 0.09, -3, FAR_M, (66, 64, 64), None)
        strip(canvas, rail - 0.03, rail + 0.03, -3, FAR_M, (150, 152, 156), None)
