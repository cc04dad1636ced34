"""Walls and fences between the sidewalk and private ground."""

from __future__ import annotations

import numpy as np

from demo_model.scenes._canvas import Canvas
from demo_model.scenes._labels import FENCE, WALL
from demo_model.scenes._light import Colour, jittered, picked, scaled
from demo_model.scenes._plan import Side, SideKind, StreetPlan
from demo_model.scenes._wall import Wall

_MASONRY: tuple[Colour, ...] = (
    (142, 92, 76),
    (168, 160, 146),
    (196, 188, 172),
    (120, 114, 108),
    (176, 140, 108),
)
_METALS: tuple[Colour, ...] = ((44, 46, 48), (58, 74, 60), (128, 132, 134), (206, 204, 198))
_WOODS: tuple[Colour, ...] = ((128, 96, 66), (104, 82, 62), (164, 142, 112), (120, 116, 110))


_CHANCES: dict[SideKind, float] = {"houses": 0.2, "offices": 0.12, "park": 0.8, "yards": 0.85}


def draw_barriers(canvas: Canvas, rng: np.random.Generator, plan: StreetPlan, side: Side) -> None:
    """Draw the barriers of one side, far to near; a side of houses mostly has none."""
    x, normal = side.sign * (side.wall_m - 0.1), (-float(side.sign), 0.0, 0.0)
    sections, z = [], -4.0
    while z < 110:
        length = rng.uniform(8, 24)
        if rng.random() < _CHANCES[side.kind] and not plan.is_open(z + length / 2, length / 2):
            height = rng.uniform(0.9, 2.2)
            sections.append(
                Wall(origin_m=(x, 0.0, z), along=(0.0, 0.0, 1.0), width_m=length, height_m=height)
            )
        z += length + rng.uniform(0, 3)
    kinds = (_draw_masonry, _draw_masonry, _draw_bars, _draw_boards)
    for section in reversed(sections):
        kinds[rng.integers(len(kinds))](canvas, rng, section, normal)


def _draw_masonry(
    canvas: Canvas, rng: np.random.Generator, wall: Wall, normal: tuple[float, float, float]
) -> None:
    """A wall of brick, stone or concrete, with a coping."""
    colour = jittered(rng, picked(rng, _MASONRY), 0.2)
    lit = canvas.light.shade(colour, normal)
    depth = 0.3 if normal[0] < 0 else -0.3
    x, _, z = wall.origin_m
    top = np.array(
        [
            (x, wall.height_m, z),
            (x + depth, wall.height_m, z),
            (x + depth, wall.height_m, z + wall.width_m),
            (x, wall.height_m, z + wall.width_m),
        ]
    )
    end = np.array(
        [(x, 0, z), (x + depth, 0, z), (x + depth, wall.height_m, z), (x, wall.height_m, z)]
    )
    canvas.solid(top, canvas.light.shade(colour, (0.0, 1.0, 0.0)), WALL)
    canvas.solid(end, canvas.light.shade(colour, (0.0, 0.0, -1.0)), WALL)
    step = rng.uniform(2, 4)
    for s in np.arange(0, wall.width_m, step)[::-1].tolist():
        canvas.solid(wall.quad(s, min(s + step, wall.width_m), 0, wall.height_m), lit, WALL)
    courses = np.arange(0.15, wall.height_m - 0.1, 0.22)
    ends = np.full_like(courses, wall.width_m)
    joints = wall.quads(np.zeros_like(courses), ends, courses, courses + 0.025)
    canvas.paint_many(joints, [scaled(lit, 0.84)] * len(courses))
    canvas.paint(wall.quad(0, wall.width_m, wall.height_m - 0.1, wall.height_m), scaled(lit, 1.15))


def _draw_bars(
    canvas: Canvas, rng: np.random.Generator, wall: Wall, normal: tuple[float, float, float]
) -> None:
    """A railing one sees through; labelled whole, as annotators do."""
    lit = canvas.light.shade(jittered(rng, picked(rng, _METALS), 0.2), normal)
    canvas.label_only(wall.quad(0, wall.width_m, 0, wall.height_m), FENCE)
    spacing = rng.uniform(0.14, 0.3)
    s = np.arange(0, wall.width_m, spacing)
    low, high = np.full_like(s, 0.08), np.full_like(s, wall.height_m)
    canvas.paint_many(wall.quads(s, s + 0.035, low, high), [lit] * len(s))
    for t in (0.1, wall.height_m - 0.12):
        canvas.paint(wall.quad(0, wall.width_m, t, t + 0.06), lit)
    posts = np.arange(0, wall.width_m, 2.4)
    canvas.paint_many(
        wall.quads(posts, posts + 0.08, 0 * posts, 0 * posts + wall.height_m + 0.08),
        [scaled(lit, 0.85)] * len(posts),
    )


def _draw_boards(
    canvas: Canvas, rng: np.random.Generator, wall: Wall, normal: tuple[float, float, float]
) -> None:
    """A fence of boards."""
    lit = canvas.light.shade(jittered(rng, picked(rng, _WOODS), 0.2), normal)
    for s in np.arange(0, wall.width_m, 2.0)[::-1].tolist():
        canvas.solid(wall.quad(s, min(s + 2.0, wall.width_m), 0, wall.height_m), lit, FENCE)
    s = np.arange(0, wall.width_m, 0.16)
    low, high = np.full_like(s, 0.03), np.full_like(s, wall.height_m)
    levels = rng.uniform(0.85, 1.12, size=len(s)).tolist()
    canvas.paint_many(wall.quads(s, s + 0.14, low, high), [scaled(lit, level) for level in levels])
    gaps = wall.quads(s + 0.14, s + 0.16, low, high)
    canvas.paint_many(gaps, [scaled(lit, 0.45)] * len(s))
