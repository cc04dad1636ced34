"""Pictures that every machine draws alike, so that a receipt need not hold them.

Whole numbers only: no library's random numbers, no floating point, no resampling.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tritonseg_steps.geometry import Size

CELL: Final = 16
"""Pixels between two independent colours of the clouds."""
SQUARE: Final = 4
"""Side in pixels of what changes from one extreme to the other."""
BLOCKS: Final = 48
"""Rectangles in a picture of them."""
_STEP, _FIRST, _SECOND = (
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
"""Source: splitmix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators"."""


def draw(kind: str, seed: int, size_hw: Size) -> NDArray[np.uint8]:
    """Return a picture, `(H, W, 3)` uint8 RGB.

    Args:
        kind: One of `KINDS`.
        seed: Of what is random in it.
        size_hw: Height and width.

    Raises:
        KeyError: There is no such kind.
    """
    return KINDS[kind](seed, size_hw)


def picture_sha256(image_hwc: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of a picture's pixels, in hexadecimal digits."""
    return hashlib.sha256(image_hwc.tobytes()).hexdigest()


def _clouds(seed: int, size_hw: Size) -> NDArray[np.uint8]:
    """Return smooth colours, on which networks see several classes with soft borders."""
    height, width = size_hw
    coarse = _bytes(seed, (height // CELL + 2, width // CELL + 2, 3))
    rows, columns = np.arange(height), np.arange(width)
    top, left = rows // CELL, columns // CELL
    down, across = (rows % CELL)[:, None, None], (columns % CELL)[None, :, None]
    above = coarse[top][:, left] * (CELL - across) + coarse[top][:, left + 1] * across
    below = coarse[top + 1][:, left] * (CELL - across) + coarse[top + 1][:, left + 1] * across
    mixed = (above * (CELL - down) + below * down) // (CELL * CELL)
    clouds: NDArray[np.uint8] = mixed.astype(np.uint8)
    return clouds


def _blocks(seed: int, size_hw: Size) -> NDArray[np.uint8]:
    """Return sharp rectangles of all sizes, some of them cut off, between sky and ground."""
    height, width = size_hw
    light = (np.arange(height) * 160 // height)[:, None, None]
    image_hwc = np.broadcast_to(np.array([230, 235, 250]) - light, (height, width, 3)).copy()
    image_hwc[height * 3 // 5 :] = (110, 104, 112)
    for top, left, tall, wide, *color in _bytes(seed, (BLOCKS, 7)).tolist():
        rows = slice(top * height // 256, (top + 8 + tall // 3) * height // 256)
        columns = slice(left * width // 256, (left + 8 + wide // 3) * width // 256)
        image_hwc[rows, columns] = color
    return image_hwc.astype(np.uint8)


def _contrasts(seed: int, size_hw: Size) -> NDArray[np.uint8]:
    """Return quarters: black, white, a checkerboard, squares of pure colours."""
    height, width = size_hw
    rows, columns = np.arange(height) // SQUARE, np.arange(width) // SQUARE
    image_hwc = np.zeros((height, width, 3), np.uint8)
    top, left = slice(height // 2), slice(width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    image_hwc[top, right] = 255
    image_hwc[bottom, left] = ((rows[:, None] + columns) % 2 * 255)[bottom, left, None]
    pure = _bytes(seed, (int(rows[-1]) + 1, int(columns[-1]) + 1, 3)) % 2 * 255
    image_hwc[bottom, right] = pure[rows[:, None], columns][bottom, right]
    return image_hwc


KINDS: Final[Mapping[str, Callable[[int, Size], NDArray[np.uint8]]]] = {
    "clouds": _clouds,
    "blocks": _blocks,
    "contrasts": _contrasts,
}


def _bytes(seed: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return numbers of 0 to 255 that look random."""
    count = int(np.prod(shape))
    state = np.arange(1, count + 1, dtype=np.uint64) * _STEP + np.uint64(seed << 32)
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    state ^= state >> np.uint64(31)
    return (state >> np.uint64(56)).astype(np.int64).reshape(shape)
