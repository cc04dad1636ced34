"""A pinhole camera over a street that may bend.

World axes in metres: X to the right, Y up, Z along the street; the ground is Y = 0 and the camera
stands at X = Z = 0. Image coordinates are continuous: the first pixel spans 0 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

NEAR_M = 0.6
"""Everything nearer is clipped: projection is undefined at 0."""
_LIMIT_PX = 30_000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """Where the camera stands and how it maps metres to pixels.

    `curvature_per_m` bends the street: X grows by `curvature * Z**2 / 2`, for everything alike.
    """

    height_px: int
    width_px: int
    focal_px: float
    centre_x_px: float
    horizon_px: float
    height_m: float
    yaw_rad: float
    curvature_per_m: float

    def view(self, points_m: Float) -> Float:
        """Turn world points into the camera's axes.

        Args:
            points_m: `(..., 3)` world points.

        Returns:
            `(..., 3)`: metres to the right, metres up from the camera, metres ahead.
        """
        x, z = points_m[..., 0], points_m[..., 2]
        if self.curvature_per_m:
            x = x + 0.5 * self.curvature_per_m * z * np.abs(z)
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        view_m = np.empty(points_m.shape)
        view_m[..., 0] = cos * x - sin * z
        view_m[..., 1] = points_m[..., 1] - self.height_m
        view_m[..., 2] = sin * x + cos * z
        return view_m

    def view_point(self, x_m: float, y_m: float, z_m: float) -> tuple[float, float, float]:
        """`view` of one point, without the cost of arrays."""
        x_m += 0.5 * self.curvature_per_m * z_m * abs(z_m)
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return cos * x_m - sin * z_m, y_m - self.height_m, sin * x_m + cos * z_m

    def pixels(self, view_m: Float) -> Float:
        """Project points in the camera's axes, all ahead of it, to `(..., 2)` pixels (x, y)."""
        scale = self.focal_px / view_m[..., 2]
        pixels = np.empty((*view_m.shape[:-1], 2))
        pixels[..., 0] = self.centre_x_px + scale * view_m[..., 0]
        pixels[..., 1] = self.horizon_px - scale * view_m[..., 1]
        return np.clip(pixels, -_LIMIT_PX, _LIMIT_PX, out=pixels)

    def polygon(self, points_m: Float) -> Float | None:
        """Project a polygon, cut off at the near plane.

        Args:
            points_m: `(N, 3)` world points.

        Returns:
            `(M, 2)` pixels, or None if nothing is left.
        """
        view_m = self.view(points_m)
        if float(view_m[:, 2].min()) < NEAR_M:
            view_m = _clip_near(view_m)
            if len(view_m) < 3:
                return None
        return self.pixels(view_m)

    def distance(self, x_m: float, z_m: float) -> float:
        """Distance ahead of the camera of a point on the ground, in metres."""
        return self.view_point(x_m, 0.0, z_m)[2]

    def pixels_per_metre(self, distance_m: float) -> float:
        """Size in pixels of one metre at a distance ahead."""
        return self.focal_px / max(distance_m, NEAR_M)

    def ground(self) -> tuple[int, Float, Float, Float]:
        """Locate every pixel below the horizon on the ground.

        Returns:
            The first row below the horizon, and for the rows from there on: X, Z `(R, W)` in
            metres along the straightened street, and the distance ahead `(R, 1)` in metres.
        """
        first = max(0, math.ceil(self.horizon_px + 0.5))
        rows = np.arange(first, self.height_px)[:, None] + 0.5
        columns = np.arange(self.width_px)[None, :] + 0.5
        ahead = self.focal_px * self.height_m / np.maximum(rows - self.horizon_px, 0.25)
        right = (columns - self.centre_x_px) / self.focal_px * ahead
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        z = cos * ahead - sin * right
        x = cos * right + sin * ahead - 0.5 * self.curvature_per_m * z * np.abs(z)
        return first, x, z, ahead


def _clip_near(view_m: Float) -> Float:
    """Cut a polygon at the near plane. Source: Sutherland & Hodgman, CACM 17(1), 1974."""
    kept: list[Float] = []
    for start, end in zip(view_m, np.roll(view_m, -1, axis=0), strict=True):
        if start[2] >= NEAR_M:
            kept.append(start)
        if (start[2] >= NEAR_M) != (end[2] >= NEAR_M):
            share = (NEAR_M - start[2]) / (end[2] - start[2])
            kept.append(start + share * (end - start))
    return np.array(kept).reshape(-1, 3)
