"""What a scene is painted on: colour at twice the size, labels and depth at the size itself.

The painter goes from far to near. Whatever has a label is drawn into all three layers (`solid`,
`limb`, `leaves`); detail on top of it only into the colour (`paint`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from demo_model.scenes._camera import NEAR_M, Camera, Float
from demo_model.scenes._light import Colour, Light
from demo_model.scenes._textures import FOLIAGE_SPRITES, foliage

SUPERSAMPLING = 2
DEPTH_SCALE_M = 80.0
"""Depth is stored as `255 * (1 - exp(-depth / DEPTH_SCALE_M))`: fine near, coarse far."""
SKY_DEPTH_M = 1e5
_ANGLES = -math.pi / 2 + (np.arange(16) + 0.5) / 16 * 2 * math.pi
_ROUND = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_SQUARE = np.array([(0.7, -0.9), (0.7, 0.9), (-0.7, 0.9), (-0.7, -0.9)])
"""Outlines of a bar of no length: the first half of the corners go to its end, the rest stay."""
_LEAF_LEVELS = np.interp(np.arange(256), (0, 128, 255), (0.25, 1.0, 1.9))
"""Brightness of a leaf by the sprite's luminance, as a multiple of its colour."""


class Canvas:
    """The layers of a scene, and the camera and the light that it is drawn with."""

    def __init__(self, camera: Camera, light: Light, sky: Image.Image, sky_label: int) -> None:
        self.camera = camera
        self.light = light
        size = (camera.width_px, camera.height_px)
        self._colour = sky.resize(
            (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING), Image.Resampling.BILINEAR
        )
        self._labels = Image.new("L", size, sky_label)
        self._depth = Image.new("L", size, 255)
        self._shadow = Image.new("L", size, 0)
        self._draw_colour = ImageDraw.Draw(self._colour)
        self._draw_labels = ImageDraw.Draw(self._labels)
        self._draw_depth = ImageDraw.Draw(self._depth)
        self._draw_shadow = ImageDraw.Draw(self._shadow)

    def solid(self, points_m: Float, colour: Colour, label: int) -> None:
        """Fill a polygon, `(N, 3)` world points, in all layers."""
        polygon_px = self.camera.polygon(points_m)
        if polygon_px is not None:
            distance_m = float(self.camera.view(points_m)[:, 2].mean())
            self._solid_px(polygon_px, colour, label, distance_m)

    def paint(self, points_m: Float, colour: Colour) -> None:
        """Fill a polygon, `(N, 3)` world points, in the colour layer only."""
        polygon_px = self.camera.polygon(points_m)
        if polygon_px is not None:
            self._draw_colour.polygon(_flat(polygon_px, SUPERSAMPLING), fill=colour)

    def paint_many(self, polygons_m: Float, colours: Sequence[Colour]) -> None:
        """Fill `(M, N, 3)` polygons in the colour layer; those too near are left out."""
        view_m = self.camera.view(polygons_m)
        ahead = view_m[..., 2].min(axis=1) > NEAR_M
        view_m[~ahead, :, 2] = NEAR_M
        flat = (self.camera.pixels(view_m) * SUPERSAMPLING - 0.5).reshape(len(polygons_m), -1)
        for keep, polygon, colour in zip(ahead.tolist(), flat.tolist(), colours, strict=True):
            if keep:
                self._draw_colour.polygon(polygon, fill=colour)

    def label_only(self, points_m: Float, label: int) -> None:
        """Label a polygon, `(N, 3)` world points, and leave its colour."""
        polygon_px = self.camera.polygon(points_m)
        if polygon_px is not None:
            self._draw_labels.polygon(_flat(polygon_px, 1), fill=label)

    def cast_shadow(self, points_m: Float, strength: int = 255) -> None:
        """Darken the ground under a polygon on it, `(N, 3)` world points with Y = 0."""
        polygon_px = self.camera.polygon(points_m)
        if polygon_px is not None:
            self._draw_shadow.polygon(_flat(polygon_px, 1), fill=strength)

    def limb(
        self, start_m: Float, end_m: Float, radius_m: float, colour: Colour, label: int | None
    ) -> None:
        """Draw a rounded bar between two world points; `label` None paints colour only."""
        start, end = (self.camera.view_point(*point.tolist()) for point in (start_m, end_m))
        if min(start[2], end[2]) < NEAR_M:
            return
        distance_m = (start[2] + end[2]) / 2
        radius = max(radius_m * self.camera.pixels_per_metre(distance_m), 0.3)
        outline = _capsule(self._pixel(start), self._pixel(end), radius)
        if label is None:
            self._draw_colour.polygon(_flat(outline, SUPERSAMPLING), fill=colour)
        else:
            self._solid_px(outline, colour, label, distance_m)

    def _pixel(self, view_m: tuple[float, float, float]) -> tuple[float, float]:
        scale = self.camera.pixels_per_metre(view_m[2])
        camera = self.camera
        return camera.centre_x_px + scale * view_m[0], camera.horizon_px - scale * view_m[1]

    def ball(self, centre_m: Float, radius_m: float, colour: Colour, label: int | None) -> None:
        """Draw a disc that faces the camera."""
        self.limb(centre_m, centre_m, radius_m, colour, label)

    def leaves(
        self, rng: np.random.Generator, centre_m: Float, radius_m: float, colour: Colour, label: int
    ) -> None:
        """Draw a clump of leaves that faces the camera."""
        view_m = self.camera.view(centre_m)
        if view_m[2] < NEAR_M + radius_m:
            return
        x, y = self.camera.pixels(view_m).tolist()
        radius = radius_m * self.camera.pixels_per_metre(float(view_m[2]))
        squash = rng.uniform(0.75, 1.0)
        box = (x - radius, y - radius * squash, x + radius, y + radius * squash)
        self._paste_leaves(box, int(rng.integers(FOLIAGE_SPRITES)), colour, label, float(view_m[2]))

    def _paste_leaves(
        self,
        box: tuple[float, float, float, float],
        index: int,
        colour: Colour,
        label: int,
        distance_m: float,
    ) -> None:
        large_px = (box[2] - box[0]) * SUPERSAMPLING
        sprite = foliage(index, halvings=2 if large_px < 64 else 1 if large_px < 128 else 0)
        shown = _visible_part(box, self._labels.size, sprite.mask.size)
        if shown is None:
            return
        (left, top, right, bottom), source = shown
        size = (right - left, bottom - top)
        large = (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)
        mask = sprite.mask.resize(large, Image.Resampling.BILINEAR, box=source)
        luminance = sprite.luminance.resize(large, Image.Resampling.BILINEAR, box=source)
        luminance.putpalette(_ramp(colour))
        tinted = luminance.convert("RGB")
        self._colour.paste(tinted, (left * SUPERSAMPLING, top * SUPERSAMPLING), mask)
        hard = mask.reduce(SUPERSAMPLING).convert("1", dither=Image.Dither.NONE)
        self._labels.paste(label, (left, top), hard)
        self._depth.paste(depth_code(distance_m), (left, top), hard)

    def _solid_px(self, polygon_px: Float, colour: Colour, label: int, distance_m: float) -> None:
        small = _flat(polygon_px, 1)
        self._draw_colour.polygon(_flat(polygon_px, SUPERSAMPLING), fill=colour)
        self._draw_labels.polygon(small, fill=label)
        self._draw_depth.polygon(small, fill=depth_code(distance_m))

    def colour_hwc(self) -> npt.NDArray[np.float32]:
        """Return the colour at the size of the scene, `(H, W, 3)` float32, 0–255."""
        return np.asarray(self._colour.reduce(SUPERSAMPLING), dtype=np.float32)

    def labels_hw(self) -> npt.NDArray[np.uint8]:
        """Return a copy of the labels, `(H, W)` uint8."""
        return np.array(self._labels)

    def depth_hw(self) -> npt.NDArray[np.float32]:
        """Return the depth of every pixel, `(H, W)` float32, metres; `SKY_DEPTH_M` is the sky."""
        nearness = 1.0 - np.arange(256, dtype=np.float32) / 255.0
        table = -DEPTH_SCALE_M * np.log(np.maximum(nearness, 1e-3))
        table[255] = SKY_DEPTH_M
        depth: npt.NDArray[np.float32] = table.astype(np.float32)[np.asarray(self._depth)]
        return depth

    def shadow_hw(self) -> npt.NDArray[np.float32]:
        """Return how much of the sun is kept off the ground, `(H, W)` float32, 0–1."""
        return np.asarray(self._shadow, dtype=np.float32) / 255.0


def _capsule(start: tuple[float, float], end: tuple[float, float], radius: float) -> Float:
    """Outline a bar with round ends, in pixels; few corners where it is thin."""
    x, y = end[0] - start[0], end[1] - start[1]
    length = math.hypot(x, y)
    cos, sin = (x / length, y / length) if length > 1e-6 else (1.0, 0.0)
    shape = _ROUND if radius > 1.5 else _SQUARE
    turned = np.empty_like(shape)
    turned[:, 0] = shape[:, 0] * cos - shape[:, 1] * sin
    turned[:, 1] = shape[:, 0] * sin + shape[:, 1] * cos
    turned *= radius
    half = len(shape) // 2
    turned[:half] += end
    turned[half:] += start
    return turned


def _ramp(colour: Colour) -> bytes:
    """Palette from a sprite's luminance to shades of a colour, 256 x RGB."""
    levels = np.multiply.outer(_LEAF_LEVELS, np.array(colour, dtype=np.float64))
    return np.minimum(levels, 255).astype(np.uint8).tobytes()


def depth_code(distance_m: float) -> int:
    """Code a distance for the depth layer, 0–254; 255 is the sky."""
    return min(254, round(255 * (1.0 - math.exp(-max(distance_m, 0.0) / DEPTH_SCALE_M))))


def _flat(polygon_px: Float, scale: int) -> list[float]:
    """Coordinates as Pillow takes them, where whole numbers are the centres of pixels."""
    flat: list[float] = (polygon_px * scale - 0.5).ravel().tolist()
    return flat


_Box = tuple[float, float, float, float]


def _visible_part(
    box: _Box, size: tuple[int, int], source_size: tuple[int, int]
) -> tuple[tuple[int, int, int, int], _Box] | None:
    """Which pixels of the canvas a sprite covers, and which part of the sprite covers them."""
    left, top = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    right, bottom = min(size[0], math.ceil(box[2])), min(size[1], math.ceil(box[3]))
    if right <= left or bottom <= top:
        return None
    scale_x = source_size[0] / max(box[2] - box[0], 1.0)
    scale_y = source_size[1] / max(box[3] - box[1], 1.0)
    source = (
        max((left - box[0]) * scale_x, 0.0),
        max((top - box[1]) * scale_y, 0.0),
        min((right - box[0]) * scale_x, float(source_size[0])),
        min((bottom - box[1]) * scale_y, float(source_size[1])),
    )
    if source[2] - source[0] < 1 or source[3] - source[1] < 1:
        return None
    return (left, top, right, bottom), source
