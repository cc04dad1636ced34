"""Wheels: what shows of them under a vehicle, and on the side that the camera sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo_model.scenes._camera import Float
from demo_model.scenes._canvas import Canvas
from demo_model.scenes._light import Colour, scaled
from demo_model.scenes._solids import Pose, distance_of, sees

_TYRE: Colour = (24, 24, 26)
_RIM: Colour = (138, 140, 144)
_HUB: Colour = (70, 70, 72)
_CORNERS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Axles:
    """Where the wheels of a vehicle are, in its own axes, and which class they belong to."""

    half_width_m: float
    z_m: tuple[float, ...]
    radius_m: float
    label: int


def wheel_outline(centre_m: tuple[float, float, float], radius_m: float) -> Float:
    """Outline a wheel in the plane of the thing's forward axis, `(16, 3)` local points."""
    angle = np.linspace(0, 2 * np.pi, _CORNERS + 1)[:-1]
    x, y, z = centre_m
    return np.stack(
        [np.full(_CORNERS, x), y + radius_m * np.sin(angle), z + radius_m * np.cos(angle)], axis=1
    )


def draw_tyres(canvas: Canvas, pose: Pose, axles: Axles) -> None:
    """Draw all wheels as seen under the vehicle; the body is to be drawn over them."""
    radius = axles.radius_m
    for z in sorted(axles.z_m, key=lambda z: -distance_of(canvas, pose, z)):
        for x in (-0.85 * axles.half_width_m, 0.85 * axles.half_width_m):
            outline = wheel_outline((x, radius, z), radius)
            canvas.solid(pose.world(outline), _TYRE, axles.label)
            tread = np.array([(x - 0.1, radius / 2, z), (x + 0.1, radius / 2, z)])
            left, right = pose.world(tread)
            canvas.limb(left, right, radius * 0.45, _TYRE, axles.label)


def draw_wheels(canvas: Canvas, pose: Pose, axles: Axles) -> None:
    """Draw the wheels on the side of the vehicle that the camera sees; the body comes first."""
    rim = scaled(_RIM, canvas.light.ambient)
    for x in (-axles.half_width_m - 0.01, axles.half_width_m + 0.01):
        if not _faces_camera(canvas, pose, x):
            continue
        for z in axles.z_m:
            centre = (x, axles.radius_m, z)
            tyre = wheel_outline(centre, axles.radius_m)
            canvas.solid(pose.world(tyre), _TYRE, axles.label)
            canvas.paint(pose.world(wheel_outline(centre, axles.radius_m * 0.62)), rim)
            canvas.paint(pose.world(wheel_outline(centre, axles.radius_m * 0.2)), _HUB)


def _faces_camera(canvas: Canvas, pose: Pose, x_m: float) -> bool:
    """Whether the camera is on the outer side of the plane at X, left if negative."""
    square = np.array([(x_m, 0, 1), (x_m, 0, 0), (x_m, 1, 0), (x_m, 1, 1)], dtype=np.float64)
    return sees(canvas, pose, square if x_m < 0 else square[[1, 0, 3, 2]])
