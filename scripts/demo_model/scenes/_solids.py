"""Boxes and profiles that stand and face somewhere; faces turned away are left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo_model.scenes._camera import Float
from demo_model.scenes._canvas import Canvas
from demo_model.scenes._light import Colour

_SHADOW_HEIGHT_M = 1.3
"""All things throw the shadow of a car: taller ones would need their outline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pose:
    """Where a thing stands on the ground and where it faces: 0 along Z, positive to the right."""

    x_m: float
    z_m: float
    heading_rad: float

    def world(self, local_m: Float) -> Float:
        """Move `(..., 3)` points (right, up, forward) of the thing into the world."""
        cos, sin = math.cos(self.heading_rad), math.sin(self.heading_rad)
        right, ahead = local_m[..., 0], local_m[..., 2]
        world_m = np.empty(local_m.shape)
        world_m[..., 0] = self.x_m + right * cos + ahead * sin
        world_m[..., 1] = local_m[..., 1]
        world_m[..., 2] = self.z_m - right * sin + ahead * cos
        return world_m

    def world_point(self, right: float, up: float, ahead: float) -> tuple[float, float, float]:
        """`world` of one point, without the cost of arrays."""
        cos, sin = math.cos(self.heading_rad), math.sin(self.heading_rad)
        return self.x_m + right * cos + ahead * sin, up, self.z_m - right * sin + ahead * cos

    def direction(self, local: tuple[float, float, float]) -> tuple[float, float, float]:
        """Turn a direction of the thing into the world's."""
        cos, sin = math.cos(self.heading_rad), math.sin(self.heading_rad)
        return local[0] * cos + local[2] * sin, local[1], -local[0] * sin + local[2] * cos


@dataclass(frozen=True, slots=True)
class Face:
    """A flat quadrilateral of a thing: `(4, 3)` local corners, counter-clockwise from outside."""

    corners_m: Float

    def patch(self, u0: float, u1: float, v0: float, v1: float) -> Float:
        """Cut out a part: u along the first edge, v along the last; `(4, 3)` local points."""
        a, b, c, d = self.corners_m
        u = np.array([u0, u1, u1, u0])[:, None]
        v = np.array([v0, v0, v1, v1])[:, None]
        inside: Float = (1 - u) * (1 - v) * a + u * (1 - v) * b + u * v * c + (1 - u) * v * d
        return inside

    @property
    def normal(self) -> tuple[float, float, float]:
        """Unit vector outwards, local axes."""
        a, b, _, d = self.corners_m.tolist()
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = d[0] - a[0], d[1] - a[1], d[2] - a[2]
        # The axes (right, up, forward) are left-handed, so outwards is minus the cross product.
        x, y, z = uz * vy - uy * vz, ux * vz - uz * vx, uy * vx - ux * vy
        length = max(math.sqrt(x * x + y * y + z * z), 1e-9)
        return x / length, y / length, z / length


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """The six faces of a frustum that stands upright, seen from outside.

    Looking along the thing: `left` has -right, `front` has +forward.
    """

    left: Face
    right: Face
    front: Face
    back: Face
    top: Face

    @property
    def faces(self) -> tuple[Face, ...]:
        """All but the bottom."""
        return self.left, self.right, self.front, self.back, self.top


def box(
    half_width_m: float,
    y_m: tuple[float, float],
    z_m: tuple[float, float],
    *,
    top_half_width_m: float | None = None,
    top_z_m: tuple[float, float] | None = None,
) -> Box:
    """Build a box, or a frustum where the top is smaller.

    Args:
        half_width_m: half of the width at the bottom.
        y_m: bottom and top.
        z_m: back and front at the bottom.
        top_half_width_m: half of the width at the top; as below if None.
        top_z_m: back and front at the top; as below if None.
    """
    w, t = half_width_m, half_width_m if top_half_width_m is None else top_half_width_m
    (y0, y1), (b0, f0) = y_m, z_m
    b1, f1 = top_z_m or z_m
    corners = {
        "lbb": (-w, y0, b0),
        "rbb": (w, y0, b0),
        "lbf": (-w, y0, f0),
        "rbf": (w, y0, f0),
        "ltb": (-t, y1, b1),
        "rtb": (t, y1, b1),
        "ltf": (-t, y1, f1),
        "rtf": (t, y1, f1),
    }

    def face(*names: str) -> Face:
        return Face(np.array([corners[name] for name in names], dtype=np.float64))

    return Box(
        left=face("lbf", "lbb", "ltb", "ltf"),
        right=face("rbb", "rbf", "rtf", "rtb"),
        front=face("rbf", "lbf", "ltf", "rtf"),
        back=face("lbb", "rbb", "rtb", "ltb"),
        top=face("ltb", "rtb", "rtf", "ltf"),
    )


def sees(canvas: Canvas, pose: Pose, corners_m: Float) -> bool:
    """Whether the camera is on the outer side of a face."""
    camera = canvas.camera
    a, b, _, d = (camera.view_point(*pose.world_point(*corner)) for corner in corners_m.tolist())
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    vx, vy, vz = d[0] - a[0], d[1] - a[1], d[2] - a[2]
    inwards = (uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx)
    return inwards[0] * a[0] + inwards[1] * a[1] + inwards[2] * a[2] > 0


def draw_box(canvas: Canvas, pose: Pose, faces: Sequence[Face], colour: Colour, label: int) -> None:
    """Draw the faces that the camera sees, each lit by where it looks."""
    for face in faces:
        if sees(canvas, pose, face.corners_m):
            lit = canvas.light.shade(colour, pose.direction(face.normal))
            canvas.solid(pose.world(face.corners_m), lit, label)


def draw_patch(
    canvas: Canvas, pose: Pose, face: Face, uv: tuple[float, float, float, float], colour: Colour
) -> None:
    """Paint a part of a face, (u0, u1, v0, v1), if the camera sees the face."""
    if sees(canvas, pose, face.corners_m):
        canvas.paint(pose.world(face.patch(*uv)), colour)


def draw_profile(
    canvas: Canvas, pose: Pose, outline_m: Float, half_width_m: float, colour: Colour, label: int
) -> None:
    """Draw a side view pulled out to a width.

    Args:
        canvas: where to.
        pose: where the thing stands.
        outline_m: `(N, 2)` (forward, up), from the bottom of the back over the top to the front.
        half_width_m: half of the width.
        colour: of the surface, before light.
        label: train id.
    """
    ahead, up = outline_m[:, 0], outline_m[:, 1]
    left = np.stack([np.full(len(outline_m), -half_width_m), up, ahead], axis=1)
    right = left * (-1.0, 1.0, 1.0)
    strips = [
        Face(np.stack([left[i], right[i], right[i + 1], left[i + 1]]))
        for i in range(len(outline_m) - 1)
    ]
    strips.sort(
        key=lambda face: -float(canvas.camera.view(pose.world(face.corners_m))[:, 2].mean())
    )
    draw_box(canvas, pose, strips, colour, label)
    for side, sign in ((left, -1.0), (right, 1.0)):
        corners = side if sign < 0 else side[::-1]
        if sees(canvas, pose, corners[[-1, 0, 1, 2]]):
            lit = canvas.light.shade(colour, pose.direction((sign, 0.0, 0.0)))
            canvas.solid(pose.world(side), lit, label)


def distance_of(canvas: Canvas, pose: Pose, ahead_m: float) -> float:
    """Distance from the camera of a point on the thing's own forward axis, in metres."""
    return canvas.camera.view_point(*pose.world_point(0.0, 0.0, ahead_m))[2]


def cast_shadow_under(
    canvas: Canvas, pose: Pose, half_width_m: float, half_length_m: float
) -> None:
    """Darken the ground underneath, and to the side away from the sun."""
    w, h = half_width_m, half_length_m
    corners = np.array([(-w, 0, -h), (w, 0, -h), (w, 0, h), (-w, 0, h)], dtype=np.float64)
    ground = pose.world(corners)
    sun = canvas.light.sun
    if canvas.light.casts_shadows:
        reach = min(_SHADOW_HEIGHT_M / max(sun[1], 0.2), 4.0)
        offset = np.array((-sun[0] * reach, 0.0, -sun[2] * reach))
        for share in (0.33, 0.66, 1.0):
            canvas.cast_shadow(ground + offset * share)
    canvas.cast_shadow(pose.world(corners * (1.06, 1.0, 1.03)))
