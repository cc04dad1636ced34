"""One street scene: the plan, everything on it from far to near, and the photograph of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from demo_model.scenes._barriers import draw_barriers
from demo_model.scenes._buildings import draw_buildings
from demo_model.scenes._canvas import Canvas
from demo_model.scenes._ground import draw_ground, strip_outline
from demo_model.scenes._labels import IGNORE, SKY
from demo_model.scenes._light import Light, draw_light
from demo_model.scenes._photo import develop, draw_sky
from demo_model.scenes._plan import FAR_M, Side, StreetPlan, draw_camera, draw_plan
from demo_model.scenes._props import draw_props
from demo_model.scenes._sidewalk import plan_sidewalks
from demo_model.scenes._traffic import plan_traffic
from demo_model.scenes._vegetation import draw_greenery, draw_woods
from tritonseg_engines.errors import CalibrationError

MIN_SIZE_PX = 32
MAX_SIZE_PX = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A drawn street and what is where on it.

    Attributes:
        image_hwc: `(H, W, 3)` uint8 RGB.
        labels_hw: `(H, W)` uint8 Cityscapes train ids, 0–18; 255 is the camera's own vehicle.
    """

    image_hwc: npt.NDArray[np.uint8]
    labels_hw: npt.NDArray[np.uint8]


def draw_scene(seed: int, *, height: int = 512, width: int = 1024) -> Scene:
    """Draw a street scene.

    The same seed and size give the same bytes; the same seed at another size gives the same
    street, seen with the same angle of view.

    Args:
        seed: 0 or more; every seed is another street.
        height: pixels, 32–4096.
        width: pixels, 32–4096.

    Raises:
        CalibrationError: a negative seed, or a size out of range.
    """
    _check(seed, height, width)
    # A stream for each part, so that one part can change without moving all the others.
    streams = np.random.SeedSequence(seed).spawn(4)
    view, weather, street, film = (np.random.default_rng(stream) for stream in streams)
    camera, light = draw_camera(view, height, width), draw_light(weather)
    canvas = Canvas(camera, light, draw_sky(weather, camera, light), SKY)
    _draw_street(canvas, street)
    labels_hw = canvas.labels_hw()
    image_hwc = develop(canvas, film, labels_hw)
    if view.random() < 0.2:
        _cover_with_bonnet(image_hwc, labels_hw, view, light)
    if view.random() < 0.3:  # where one drives on the left
        image_hwc, labels_hw = image_hwc[:, ::-1], labels_hw[:, ::-1]
    return Scene(
        image_hwc=np.ascontiguousarray(image_hwc), labels_hw=np.ascontiguousarray(labels_hw)
    )


def _draw_street(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw everything but the sky: the ground, what is behind the sidewalks, what is on them."""
    layout, ground, houses, plants, things = rng.spawn(5)
    plan = draw_plan(layout)
    draw_ground(canvas, ground, plan)
    _shade_with_houses(canvas, plan)
    draw_woods(canvas, plants, plan)
    draw_buildings(canvas, houses, plan)
    for side in plan.sides:
        draw_greenery(canvas, plants, plan, side)
        draw_barriers(canvas, houses, plan, side)
    props = [*plan_traffic(things, plan), *plan_sidewalks(things, plan)]
    draw_props(canvas, things, props)


def _check(seed: int, height: int, width: int) -> None:
    if seed < 0:
        raise CalibrationError(f"expected a scene seed of 0 or more, got {seed}")
    for name, size in (("height", height), ("width", width)):
        if not MIN_SIZE_PX <= size <= MAX_SIZE_PX:
            raise CalibrationError(
                f"expected a scene {name} of {MIN_SIZE_PX} to {MAX_SIZE_PX} pixels, got {size}"
            )


def _shade_with_houses(canvas: Canvas, plan: StreetPlan) -> None:
    """Darken the strip that the row of houses on the sun's side keeps in the shade."""
    sun = canvas.light.sun
    if not canvas.light.casts_shadows:
        return
    side: Side = plan.right if sun[0] > 0 else plan.left
    if side.kind in ("houses", "offices"):
        reach = min(10.0 * abs(sun[0]) / max(sun[1], 0.2), 30.0)
        inner, outer = side.sign * (side.facade_m - reach), side.sign * side.facade_m
        z = -2.0
        for crossing in (*plan.crossings, None):
            end = crossing.start_m if crossing else FAR_M
            if end > z:
                canvas.cast_shadow(strip_outline(inner, outer, z, end), 235)
            z = crossing.end_m if crossing else z


def _cover_with_bonnet(
    image_hwc: npt.NDArray[np.uint8],
    labels_hw: npt.NDArray[np.uint8],
    rng: np.random.Generator,
    light: Light,
) -> None:
    """Put the bonnet of the camera's own car at the bottom; it has no class."""
    height, width = labels_hw.shape
    top = height * rng.uniform(0.86, 0.97)
    angle = np.linspace(0, math.pi, 40)
    outline = np.stack(
        [
            width * (0.5 - 0.6 * np.cos(angle)),
            height * 1.05 - (height * 1.05 - top) * np.sin(angle) ** 0.5,
        ],
        axis=1,
    )
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).polygon(outline.ravel().tolist(), fill=1)
    inside = np.asarray(mask, dtype=bool)
    share = np.clip((np.arange(height) - top) / (height - top + 1), 0, 1)[:, None, None]
    near = np.array(light.horizon) * 0.35 + 10.0
    sheen = np.broadcast_to(near * (1 - share) + rng.uniform(15, 50) * share, image_hwc.shape)
    image_hwc[inside] = sheen.astype(np.uint8)[inside]
    labels_hw[inside] = IGNORE
