"""Noise that tiles, and foliage cut out of it. Computed once per process, the same in each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

TILE_PX = 512
FOLIAGE_PX = 256
FOLIAGE_SPRITES = 10


@cache
def noise_tile(exponent: float, seed: int) -> npt.NDArray[np.float32]:
    """Draw noise with a power-law spectrum.

    Args:
        exponent: amplitude falls as `frequency ** -exponent`: 0 is white, 2 is like clouds.
        seed: which of the tiles with that exponent.

    Returns:
        `(512, 512)` float32, mean 0, standard deviation 1, tiles in both directions; read-only.
    """
    rng = np.random.default_rng([seed, round(exponent * 100)])
    frequency = np.hypot(
        *np.meshgrid(np.fft.fftfreq(TILE_PX), np.fft.rfftfreq(TILE_PX), indexing="ij")
    )
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((TILE_PX, TILE_PX)))
    tile = np.fft.irfft2(spectrum * (frequency * TILE_PX) ** -exponent, s=(TILE_PX, TILE_PX))
    scaled: npt.NDArray[np.float32] = ((tile - tile.mean()) / tile.std()).astype(np.float32)
    scaled.setflags(write=False)
    return scaled


def noise_field(
    rng: np.random.Generator, height: int, width: int, *, exponent: float, scale: float = 1.0
) -> npt.NDArray[np.float32]:
    """Cut a field out of a noise tile, at a random place, enlarged by `scale` (nearest)."""
    tile = noise_tile(exponent, int(rng.integers(3)))
    top, left = rng.integers(TILE_PX, size=2)
    rows = (top + (np.arange(height) / scale).astype(np.intp)) % TILE_PX
    columns = (left + (np.arange(width) / scale).astype(np.intp)) % TILE_PX
    field: npt.NDArray[np.float32] = tile[rows[:, None], columns[None, :]]
    return field


@dataclass(frozen=True, kw_only=True, slots=True)
class Foliage:
    """A clump of leaves seen against nothing: both square mode "L" images."""

    luminance: Image.Image
    mask: Image.Image


@cache
def foliage(index: int, *, halvings: int = 0) -> Foliage:
    """Cut one clump of leaves out of noise; light falls from above.

    Args:
        index: 0 to `FOLIAGE_SPRITES - 1`.
        halvings: how often the size is halved, for clumps that are far away.
    """
    if halvings:
        whole, factor = foliage(index), 2**halvings
        return Foliage(luminance=whole.luminance.reduce(factor), mask=whole.mask.reduce(factor))
    rng = np.random.default_rng([7, index])
    y, x = np.mgrid[-1 : 1 : FOLIAGE_PX * 1j, -1 : 1 : FOLIAGE_PX * 1j]
    clumps = noise_field(rng, FOLIAGE_PX, FOLIAGE_PX, exponent=1.5)
    leaves = noise_field(rng, FOLIAGE_PX, FOLIAGE_PX, exponent=0.7)
    density = 1.0 - (x**2 + y**2) / 0.62 + 0.30 * clumps + 0.16 * leaves
    inside = (density > 0.15) & (x**2 + y**2 < 0.96)
    relief = np.roll(clumps, 5, axis=0) - clumps
    luminance = 0.42 - 0.20 * y + 0.13 * leaves + 0.35 * relief + 0.07 * clumps
    return Foliage(
        luminance=Image.fromarray((np.clip(luminance, 0, 1) * 255).astype(np.uint8)),
        mask=Image.fromarray((inside * 255).astype(np.uint8)),
    )
