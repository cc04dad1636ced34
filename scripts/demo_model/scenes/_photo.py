"""From a clean drawing to a photograph: sky, grain of surfaces, shadows, haze, lens, sensor."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from demo_model.scenes._camera import Camera, Float
from demo_model.scenes._canvas import SKY_DEPTH_M, Canvas
from demo_model.scenes._labels import (
    BUILDING,
    FENCE,
    ROAD,
    SIDEWALK,
    TERRAIN,
    VEGETATION,
    WALL,
)
from demo_model.scenes._light import Light
from demo_model.scenes._textures import TILE_PX, noise_field, noise_tile

Pixels = npt.NDArray[np.float32]

_GRAIN = {
    ROAD: 0.0,
    SIDEWALK: 0.0,
    TERRAIN: 0.0,
    BUILDING: 0.055,
    WALL: 0.10,
    FENCE: 0.05,
    VEGETATION: 0.16,
}
"""How rough a class looks, as a share of its brightness; the ground has its own texture."""
_GROUND = (ROAD, SIDEWALK, TERRAIN)
_METRES_PER_TEXEL = 0.03


def draw_sky(rng: np.random.Generator, camera: Camera, light: Light) -> Image.Image:
    """Draw the sky behind everything, at the size of the scene."""
    height, width = camera.height_px, camera.width_px
    up = np.clip(1.0 - np.arange(height) / max(camera.horizon_px, 1.0), 0.0, 1.0)
    share = (up**0.6)[:, None, None]
    sky = np.array(light.horizon) * (1 - share) + np.array(light.zenith) * share
    image = np.broadcast_to(sky, (height, width, 3)).astype(np.float32)
    scale = max(width / 400, 0.5)
    clouds = noise_field(rng, height, width, exponent=1.7, scale=scale)
    cover = np.clip((clouds + 3.2 * light.cloudiness - 1.7) * 0.8, 0, 1)[..., None]
    relief = np.clip(0.5 + 0.25 * noise_field(rng, height, width, exponent=1.6, scale=scale), 0, 1)
    cloud = (np.array(light.horizon) * 1.03)[None, None] - 46.0 * relief[
        ..., None
    ] * light.cloudiness
    image = image * (1 - 0.85 * cover) + cloud.astype(np.float32) * 0.85 * cover
    sky_image = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    return sky_image.filter(ImageFilter.GaussianBlur(scale * 0.7))


def develop(
    canvas: Canvas, rng: np.random.Generator, labels_hw: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Finish the picture.

    Args:
        canvas: with everything drawn.
        rng: random numbers.
        labels_hw: `(H, W)` uint8 train ids.

    Returns:
        `(H, W, 3)` uint8 RGB.
    """
    camera, light = canvas.camera, canvas.light
    colour = canvas.colour_hwc()
    depth = canvas.depth_hw()
    level = np.ones(labels_hw.shape, dtype=np.float32)
    _texture_ground(level, depth, camera, rng, labels_hw)
    _shade_ground(level, canvas, labels_hw)
    _roughen(level, rng, labels_hw)
    colour *= level[..., None]
    _add_haze(colour, depth, light)
    return _expose(colour, rng, light)


def _texture_ground(
    level: Pixels,
    depth: Pixels,
    camera: Camera,
    rng: np.random.Generator,
    labels_hw: npt.NDArray[np.uint8],
) -> None:
    """Roughen the ground in perspective, and set its depth, which no polygon knows, exactly."""
    first, x, z, ahead = camera.ground()
    labels = labels_hw[first:]
    ground = np.isin(labels, _GROUND)
    np.copyto(level[first:], _ground_texture(rng, x, z, ahead, labels), where=ground)
    np.copyto(depth[first:], ahead.astype(np.float32), where=ground)


def _ground_texture(
    rng: np.random.Generator, x: Float, z: Float, ahead: Float, labels: npt.NDArray[np.uint8]
) -> Pixels:
    """Grain and stains everywhere, slabs on sidewalks; all fade with distance."""
    shift = rng.integers(TILE_PX, size=4)
    fade = np.clip(9.0 / ahead, 0.0, 1.0).astype(np.float32)
    u, v = (x / _METRES_PER_TEXEL).astype(np.intp), (z / _METRES_PER_TEXEL).astype(np.intp)
    grain = noise_tile(0.3, 0)[(v + shift[0]) % TILE_PX, (u + shift[1]) % TILE_PX]
    stains = noise_tile(1.2, 1)[(v // 10 + shift[2]) % TILE_PX, (u // 6 + shift[3]) % TILE_PX]
    rough = np.where(labels == TERRAIN, 0.15, 0.045).astype(np.float32)
    slab = rng.choice((0.5, 0.8, 1.2))
    joints = ((x % slab) < 0.035 * slab**0.5) | ((z % (slab * 1.5)) < 0.035)
    paved = joints & (labels == SIDEWALK)
    stained = 0.045 * stains * np.minimum(fade * 6, 1)
    texture: Pixels = (1.0 + fade * (rough * grain - 0.16 * paved) + stained).astype(np.float32)
    return texture


def _shade_ground(level: Pixels, canvas: Canvas, labels_hw: npt.NDArray[np.uint8]) -> None:
    light = canvas.light
    shadow = canvas.shadow_hw()
    strength = 0.25 + 0.6 * min(light.sun_strength, 0.6)
    dark = 1.0 - strength * shadow
    level *= np.where(np.isin(labels_hw, _GROUND), dark, 1.0).astype(np.float32)


def _roughen(level: Pixels, rng: np.random.Generator, labels_hw: npt.NDArray[np.uint8]) -> None:
    height, width = labels_hw.shape
    amount = np.full(256, 0.012, dtype=np.float32)
    for label, value in _GRAIN.items():
        amount[label] = value
    grain = 0.7 * noise_field(rng, height, width, exponent=0.5)
    grain = grain + 0.7 * noise_field(rng, height, width, exponent=1.3, scale=max(width / 512, 0.5))
    level *= 1.0 + amount[labels_hw] * grain


def _add_haze(colour: Pixels, depth: Pixels, light: Light) -> None:
    clear = np.exp(-depth / light.haze_m)[..., None]
    clear[depth >= SKY_DEPTH_M] = 1.0  # its colour is what the haze mixes in
    colour *= clear
    colour += np.array(light.horizon, dtype=np.float32) * (1.0 - clear)


def _expose(colour: Pixels, rng: np.random.Generator, light: Light) -> npt.NDArray[np.uint8]:
    """Colour temperature, vignette, tone curve, blur, sensor noise, JPEG."""
    height, width = colour.shape[:2]
    balance = np.array([1 + light.warmth, 1.0, 1 - light.warmth], dtype=np.float32) * light.gain
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    vignette = 1.0 - rng.uniform(0.0, 0.22) * (0.5 * (x**2 + y**2)) ** 1.5
    colour *= (vignette[..., None] * balance).astype(np.float32)
    gamma = rng.uniform(0.85, 1.2)
    curve = 255.0 * (np.linspace(0, 1, 1024) ** gamma)
    exposed = curve[np.clip(colour * 4.0, 0, 1023).astype(np.intp)].astype(np.float32)
    exposed += rng.uniform(0.5, 3.5) * noise_field(rng, height, width, exponent=0.15)[..., None]
    image = Image.fromarray(np.clip(exposed, 0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.7) * width / 1024))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(70, 96)))
    return np.array(Image.open(buffer).convert("RGB"))
