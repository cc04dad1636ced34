"""Upright rectangles, and rectangles on them: what facades and fences are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo_model.scenes._camera import Float


@dataclass(frozen=True, kw_only=True, slots=True)
class Wall:
    """An upright rectangle in the world: metres along it are s, metres up are t."""

    origin_m: tuple[float, float, float]
    along: tuple[float, float, float]
    width_m: float
    height_m: float

    def quads(self, s0: Float, s1: Float, t0: Float, t1: Float) -> Float:
        """Place M rectangles on the wall, `(M, 4, 3)` world points."""
        s = np.stack([s0, s1, s1, s0], axis=-1)[..., None]
        t = np.stack([t0, t0, t1, t1], axis=-1)[..., None]
        up = np.array((0.0, 1.0, 0.0))
        corners: Float = np.array(self.origin_m) + s * np.array(self.along) + t * up
        return corners

    def quad(self, s0: float, s1: float, t0: float, t1: float) -> Float:
        """Place one rectangle on the wall, `(4, 3)` world points."""
        return self.quads(*(np.array(value) for value in (s0, s1, t0, t1)))
