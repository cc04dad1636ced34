"""Fronts of buildings: plaster, rows of windows, shops on the ground floor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from demo_model.scenes._canvas import Canvas
from demo_model.scenes._labels import BUILDING
from demo_model.scenes._light import Colour, jittered, mixed, picked, scaled
from demo_model.scenes._wall import Wall

_PLASTER: tuple[Colour, ...] = (
    (206, 196, 174),
    (188, 178, 164),
    (172, 112, 88),
    (146, 88, 72),
    (214, 206, 192),
    (168, 164, 160),
    (196, 170, 128),
    (128, 124, 122),
    (186, 148, 132),
    (158, 166, 170),
    (112, 78, 66),
    (222, 214, 186),
)
_BLIND: Colour = (188, 184, 172)
_BRANDS: tuple[Colour, ...] = (
    (152, 40, 40),
    (44, 92, 60),
    (44, 70, 120),
    (190, 176, 140),
    (60, 60, 64),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """How a building looks."""

    plaster: Colour
    trim: Colour
    storey_m: float
    bay_m: float
    window_width: float
    window_height: float
    shop: bool
    glazing: Colour


def draw_style(rng: np.random.Generator, *, offices: bool) -> Style:
    """Choose a style: offices have wider windows and no plaster ornaments."""
    plaster = jittered(rng, picked(rng, _PLASTER), 0.15)
    return Style(
        plaster=plaster,
        trim=mixed(plaster, (235, 232, 226), rng.uniform(0.2, 0.9)),
        storey_m=rng.uniform(3.0, 3.9),
        bay_m=rng.uniform(1.8, 3.6) if offices else rng.uniform(2.2, 3.4),
        window_width=rng.uniform(0.6, 0.92) if offices else rng.uniform(0.35, 0.55),
        window_height=rng.uniform(0.5, 0.72),
        shop=rng.random() < (0.7 if offices else 0.4),
        glazing=jittered(rng, (58, 66, 76), 0.3),
    )


def draw_front(
    canvas: Canvas,
    rng: np.random.Generator,
    wall: Wall,
    style: Style,
    normal: tuple[float, float, float],
) -> None:
    """Draw a front that faces `normal`, in pieces so that each has its own depth."""
    pieces = max(1, round(wall.width_m / 4))
    edges = np.linspace(0, wall.width_m, pieces + 1)
    lit = canvas.light.shade(style.plaster, normal)
    for s0, s1 in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        canvas.solid(wall.quad(s0, s1, 0, wall.height_m), lit, BUILDING)
    trim = canvas.light.shade(style.trim, normal)
    bands = [
        wall.quad(0, wall.width_m, wall.height_m - 0.45, wall.height_m),
        wall.quad(0, wall.width_m, wall.height_m - 0.6, wall.height_m - 0.45),
        wall.quad(0, wall.width_m, 0, 0.6),
    ]
    canvas.paint_many(np.stack(bands), [trim, scaled(lit, 0.7), scaled(lit, 0.75)])
    draw_windows(canvas, rng, wall, style, normal)
    if style.shop:
        _draw_shop(canvas, rng, wall, style, normal)


def draw_windows(
    canvas: Canvas,
    rng: np.random.Generator,
    wall: Wall,
    style: Style,
    normal: tuple[float, float, float],
) -> None:
    """Draw a grid of windows; over a shop it starts on the first floor."""
    storeys = int((wall.height_m - 0.8) / style.storey_m) - int(style.shop)
    bays = int(wall.width_m / style.bay_m)
    if storeys < 1 or bays < 1:
        return
    index = np.arange(storeys * bays)
    middle = (index % bays + 0.5) * wall.width_m / bays
    half = wall.width_m / bays * style.window_width / 2
    low = (index // bays + int(style.shop) + 0.28) * style.storey_m
    high = low + style.storey_m * style.window_height
    frame = wall.quads(middle - half - 0.12, middle + half + 0.12, low - 0.18, high + 0.12)
    glass = wall.quads(middle - half, middle + half, low, high)
    upper = wall.quads(middle - half, middle + half, low + (high - low) * 0.6, high)
    bar = wall.quads(middle - 0.04, middle + 0.04, low, high)
    trim = canvas.light.shade(style.trim, normal)
    colours: list[Colour] = []
    for pane, blind in _glass_colours(canvas, rng, style, len(index)):
        colours += (trim, pane, blind, trim)
    canvas.paint_many(np.stack([frame, glass, upper, bar], axis=1).reshape(-1, 4, 3), colours)


def _glass_colours(
    canvas: Canvas, rng: np.random.Generator, style: Style, count: int
) -> Iterator[tuple[Colour, Colour]]:
    """Panes mirror some sky; some have a blind or a curtain in the upper part."""
    mirrored = mixed(style.glazing, canvas.light.horizon, 0.25)
    shares, drawn = rng.uniform(-0.1, 0.25, size=count).tolist(), rng.random(count).tolist()
    for share, draw in zip(shares, drawn, strict=True):
        pane = scaled(mixed(mirrored, canvas.light.zenith, max(share, 0.0)), 0.75 + share)
        yield pane, _BLIND if draw < 0.2 else scaled(pane, 1.12)


def _draw_shop(
    canvas: Canvas,
    rng: np.random.Generator,
    wall: Wall,
    style: Style,
    normal: tuple[float, float, float],
) -> None:
    """Ground floor: shop windows, doors, a band with the name, each with its own brand."""
    top = min(style.storey_m, wall.height_m - 1)
    s = 0.3
    polygons, colours = [], []
    while s + 2.5 < wall.width_m:
        width = rng.uniform(2.2, 5.5)
        end = min(s + width, wall.width_m - 0.3)
        brand = jittered(rng, picked(rng, _BRANDS), 0.3)
        inside = jittered(rng, (70, 64, 56) if rng.random() < 0.7 else (180, 160, 120), 0.3)
        polygons += [
            wall.quad(s, end, 0.4, top - 0.8),
            wall.quad(s, end, top - 0.75, top - 0.1),
            wall.quad(s + 0.4, s + width * 0.6, top - 0.55, top - 0.3),
            wall.quad(end - 1.1, end - 0.1, 0.0, 2.2),
        ]
        lit = canvas.light.shade(brand, normal)
        colours += [inside, lit, scaled(lit, 1.9), scaled(inside, 0.6)]
        s = end + rng.uniform(0.3, 1.0)
    if polygons:
        canvas.paint_many(np.stack(polygons), colours)
