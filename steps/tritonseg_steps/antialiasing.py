"""Pillow's antialiased resize, bit for bit, and several times as fast.

Most trainers resize with Pillow, or with torchvision's `antialias=True`, which is the same within a
level: a filter as wide as the pixels that become one, with weights of fixed point and bytes in
between. OpenCV's filters look at 4 or 16 pixels whatever the scale, and networks see the
difference.

Rows are resized before columns, as by Pillow up to 12 and by torchvision. Pillow 13 does columns
first where those shrink by more than twice as many pixels, which moves photographs by a level.

Source: Pillow, `src/libImaging/Resample.c`; R. G. Keys, "Cubic convolution interpolation for
digital image processing", 1981.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from tritonseg_steps.geometry import Size

FRACTION_BITS: Final = 22
"""Of a weight; with 8 bits of a pixel and the sign an int32 is full."""
HALF: Final = np.int32(1 << (FRACTION_BITS - 1))
GROUP: Final = 4
"""Source pixels that are added up in registers before anything is written."""
ROWS_AT_ONCE: Final = 32
"""Turned so that pixels of one column lie side by side, where one instruction takes several."""
SHARPNESS: Final = -0.5
"""Keys' `a`, as in Pillow; torch's and OpenCV's bicubic without antialiasing have -0.75."""
RADII: Final = {"bilinear": 1.0, "bicubic": 2.0}
"""In source pixels where nothing shrinks."""
KEPT_WEIGHTS: Final = 32

Weights = tuple[NDArray[np.int64], NDArray[np.int32]]
"""`(n,)` first source pixel of every target pixel; `(n, taps)` what it and the next count for."""


def antialiased(
    image_hwc: NDArray[np.uint8], size_hw: Size, interpolation: str
) -> NDArray[np.uint8]:
    """Return a picture resized as `PIL.Image.resize` does it.

    Args:
        image_hwc: `(H, W, 3)` uint8.
        size_hw: Height and width to resize to, in pixels.
        interpolation: "bilinear" or "bicubic".

    Returns:
        `(h, w, 3)` uint8.
    """
    height, width = size_hw
    image_hwc = np.ascontiguousarray(image_hwc)
    rows, columns, _ = image_hwc.shape
    down = None if rows == height else _weights(rows, height, interpolation)
    if columns != width:
        # Weights of nothing follow the last that counts, so rows of nothing must follow the last.
        spare = 0 if down is None else down[1].shape[1]
        narrow_hwc = np.empty((rows + spare, width, 3), np.uint8)
        narrow_hwc[rows:] = 0
        _resize_rows(image_hwc, *_weights(columns, width, interpolation), narrow_hwc)
        image_hwc = narrow_hwc
    elif down is not None:
        image_hwc = np.pad(image_hwc, ((0, down[1].shape[1]), (0, 0), (0, 0)))
    if down is None:
        return image_hwc
    resized = np.empty((height, width * 3), np.uint8)
    _resize_columns(image_hwc.reshape(len(image_hwc), width * 3), *down, resized)
    return resized.reshape(height, width, 3)


@lru_cache(KEPT_WEIGHTS)
def _weights(source: int, target: int, interpolation: str) -> Weights:
    scale = source / target
    width = max(scale, 1.0)  # of the filter: what is enlarged needs no wider one
    radius = RADII[interpolation] * width
    centres = (np.arange(target) + 0.5) * scale
    first = np.maximum((centres - radius + 0.5).astype(np.int64), 0)
    end = np.minimum((centres + radius + 0.5).astype(np.int64), source)
    count = int((end - first).max())
    taps = np.arange(-(-count // GROUP) * GROUP)
    distances = (first[:, None] + taps - centres[:, None] + 0.5) / width
    values = np.where(taps < (end - first)[:, None], _filter(distances, interpolation), 0.0)
    values /= values.sum(axis=1, keepdims=True)
    fixed = np.trunc(values * (1 << FRACTION_BITS) + np.copysign(0.5, values)).astype(np.int32)
    return first, fixed


def _filter(distances: NDArray[np.float64], interpolation: str) -> NDArray[np.float64]:
    far = np.abs(distances)
    if interpolation == "bilinear":
        return np.maximum(1 - far, 0)
    a = SHARPNESS
    near = ((a + 2) * far - (a + 3)) * far * far + 1
    outer = (((far - 5) * far + 8) * far - 4) * a
    return np.where(far < 1, near, np.where(far < 2, outer, 0))


@njit(cache=True, parallel=True, nogil=True, boundscheck=False)
def _resize_rows(
    source_hwc: NDArray[np.uint8],
    first: NDArray[np.int64],
    weights: NDArray[np.int32],
    target_hwc: NDArray[np.uint8],
) -> None:
    """Write every row of the source, `(H, W, 3)`, resized, to the target, `(>= H, w, 3)`."""
    height, width, _ = source_hwc.shape
    lanes = 3 * ROWS_AT_ONCE
    for block in prange(-(-height // ROWS_AT_ONCE)):
        top = block * ROWS_AT_ONCE
        count = min(ROWS_AT_ONCE, height - top)
        turned = np.zeros((width + weights.shape[1], lanes), np.uint8)
        for row in range(count):
            for column in range(width):
                for channel in range(3):
                    value = source_hwc[top + row, column, channel]
                    turned[column, channel * ROWS_AT_ONCE + row] = value
        sums = np.empty(lanes, np.int32)
        resized = np.empty(lanes, np.uint8)
        for column in range(len(first)):
            _add_up(turned, first[column], weights[column], sums, resized)
            for row in range(count):
                for channel in range(3):
                    value = resized[channel * ROWS_AT_ONCE + row]
                    target_hwc[top + row, column, channel] = value


@njit(cache=True, parallel=True, nogil=True, boundscheck=False)
def _resize_columns(
    source: NDArray[np.uint8],
    first: NDArray[np.int64],
    weights: NDArray[np.int32],
    target: NDArray[np.uint8],
) -> None:
    """Write the columns of the source, `(>= H, n)`, resized, to the target, `(h, n)`."""
    for row in prange(len(first)):
        sums = np.empty(source.shape[1], np.int32)
        _add_up(source, first[row], weights[row], sums, target[row])


@njit(cache=True, nogil=True, boundscheck=False)
def _add_up(
    lines: NDArray[np.uint8],
    first: int,
    weights: NDArray[np.int32],
    sums: NDArray[np.int32],
    target: NDArray[np.uint8],
) -> None:
    """Write the weighted sum of some lines, from the first on, rounded and held in 0-255."""
    for index in range(len(sums)):
        sums[index] = HALF
    for tap in range(0, len(weights), GROUP):
        one, two, three, four = (
            lines[first + tap],
            lines[first + tap + 1],
            lines[first + tap + 2],
            lines[first + tap + 3],
        )
        for index in range(len(sums)):
            sums[index] += (
                weights[tap] * np.int32(one[index])
                + weights[tap + 1] * np.int32(two[index])
                + weights[tap + 2] * np.int32(three[index])
                + weights[tap + 3] * np.int32(four[index])
            )
    for index in range(len(sums)):
        level = sums[index] >> FRACTION_BITS
        target[index] = np.uint8(min(max(level, np.int32(0)), np.int32(255)))
