"""Weather and time of day: where the light comes from, its colour, and how far one sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]
"""RGB, 0–255."""
Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Light:
    """Illumination of one scene. `sun` is a unit vector towards the sun, world axes."""

    sun: tuple[float, float, float]
    sun_strength: float
    ambient: float
    warmth: float
    haze_m: float
    zenith: Colour
    horizon: Colour
    cloudiness: float
    gain: float

    @property
    def casts_shadows(self) -> bool:
        """Whether the sun is out."""
        return self.sun_strength > 0.15

    def shade(self, colour: Colour, normal: tuple[float, float, float]) -> Colour:
        """Light a surface of a colour that faces `normal` (unit vector, world axes)."""
        facing = sum(s * n for s, n in zip(self.sun, normal, strict=True))
        level = self.ambient + self.sun_strength * max(0.0, facing) + 0.08 * normal[1]
        return scaled(colour, level)


def scaled(colour: Colour, level: float) -> Colour:
    """Multiply a colour by a level, clipped to 0–255."""
    red, green, blue = colour
    level = max(level, 0.0)
    return (
        min(255, round(red * level)),
        min(255, round(green * level)),
        min(255, round(blue * level)),
    )


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """Mix two colours; `share` of the second, 0–1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def picked(rng: np.random.Generator, colours: Sequence[Colour]) -> Colour:
    """Pick one of some colours."""
    return colours[rng.integers(len(colours))]


def jittered(rng: np.random.Generator, colour: Colour, amount: float) -> Colour:
    """Vary a colour: brightness by `amount` (share), each channel by a third of that."""
    level = 1.0 + rng.uniform(-amount, amount)
    tint = rng.uniform(-amount / 3, amount / 3, size=3)
    red, green, blue = (
        min(255, max(0, round(c * (level + t)))) for c, t in zip(colour, tint.tolist(), strict=True)
    )
    return red, green, blue


@dataclass(frozen=True, kw_only=True, slots=True)
class _Weather:
    """Ranges from which one kind of light is drawn; `share` of all scenes."""

    share: float
    elevation_deg: Range
    sun_strength: Range
    ambient: Range
    cloudiness: Range
    warmth: float
    zenith: Colour
    horizon: Colour


_CLEAR = _Weather(
    share=0.35,
    elevation_deg=(25, 65),
    sun_strength=(0.45, 0.7),
    ambient=(0.55, 0.7),
    cloudiness=(0.0, 0.25),
    warmth=0.0,
    zenith=(86, 140, 208),
    horizon=(196, 216, 234),
)
_BROKEN_CLOUDS = _Weather(
    share=0.25,
    elevation_deg=(25, 65),
    sun_strength=(0.25, 0.5),
    ambient=(0.6, 0.75),
    cloudiness=(0.35, 0.7),
    warmth=0.0,
    zenith=(112, 152, 204),
    horizon=(214, 224, 232),
)
_OVERCAST = _Weather(
    share=0.28,
    elevation_deg=(25, 65),
    sun_strength=(0.0, 0.1),
    ambient=(0.75, 0.95),
    cloudiness=(0.8, 1.0),
    warmth=0.0,
    zenith=(190, 197, 205),
    horizon=(226, 229, 232),
)
_EVENING = _Weather(
    share=0.12,
    elevation_deg=(8, 20),
    sun_strength=(0.3, 0.5),
    ambient=(0.4, 0.55),
    cloudiness=(0.1, 0.6),
    warmth=0.10,
    zenith=(96, 112, 158),
    horizon=(240, 204, 166),
)
_WEATHERS = (_CLEAR, _BROKEN_CLOUDS, _OVERCAST, _EVENING)


def draw_light(rng: np.random.Generator) -> Light:
    """Choose a weather, and a light that it allows."""
    weather = _WEATHERS[rng.choice(len(_WEATHERS), p=[weather.share for weather in _WEATHERS])]
    azimuth = rng.uniform(0, 2 * math.pi)
    elevation = math.radians(rng.uniform(*weather.elevation_deg))
    sun = (
        math.cos(elevation) * math.sin(azimuth),
        math.sin(elevation),
        math.cos(elevation) * math.cos(azimuth),
    )
    return Light(
        sun=sun,
        sun_strength=rng.uniform(*weather.sun_strength),
        ambient=rng.uniform(*weather.ambient),
        warmth=float(rng.normal(weather.warmth, 0.05)),
        haze_m=math.exp(rng.uniform(math.log(90), math.log(900))),
        zenith=jittered(rng, weather.zenith, 0.12),
        horizon=jittered(rng, weather.horizon, 0.06),
        cloudiness=rng.uniform(*weather.cloudiness),
        gain=rng.uniform(0.8, 1.15),
    )
