"""The two loops that touch every pixel, compiled: scaling before the network, argmax after it.

NumPy would make several passes over tens of megabytes for either; one pass is what memory
bandwidth allows. Numba compiles on first use and keeps the result in its cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray


@njit(cache=True, parallel=True, nogil=True, boundscheck=False)
def scale_to_chw(
    image_hwc: NDArray[np.uint8],
    order: NDArray[np.int64],
    table: NDArray[np.float32],
    output_chw: NDArray[np.float32],
) -> None:
    """Write `table[c, image[..., order[c]]]` to the top left of every channel of the output.

    Args:
        image_hwc: `(H, W, 3)` uint8.
        order: `(3,)`; the picture's channel that becomes the output's channel `c`.
        table: `(3, 256)` float32, one row per output channel.
        output_chw: `(3, >= H, >= W)` float32; pixels beyond the picture stay as they are.
    """
    height, width = image_hwc.shape[0], image_hwc.shape[1]
    for row in prange(height):
        for channel in range(3):
            source = order[channel]
            for column in range(width):
                output_chw[channel, row, column] = table[channel, image_hwc[row, column, source]]


@njit(cache=True, parallel=True, nogil=True, boundscheck=False)
def lowest_argmax(scores_chw: NDArray[np.float32], classes_hw: NDArray[np.uint8]) -> None:
    """Write the class of the highest score per pixel; ties and NaN go to the lower class.

    Args:
        scores_chw: `(C, h, w)` float32, C <= 256.
        classes_hw: `(h, w)` uint8, written.
    """
    count, height, width = scores_chw.shape
    for row in prange(height):
        best = scores_chw[0, row].copy()
        winner = np.zeros(width, np.uint8)
        for index in range(1, count):
            for column in range(width):
                score = scores_chw[index, row, column]
                if score > best[column]:
                    best[column] = score
                    winner[column] = index
        classes_hw[row] = winner


@njit(cache=True, parallel=True, nogil=True, boundscheck=False)
def upsample_argmax(
    scores_chw: NDArray[np.float32],
    classes_hw: NDArray[np.uint8],
    row_low: NDArray[np.int64],
    row_high: NDArray[np.int64],
    row_weight: NDArray[np.float32],
    column_low: NDArray[np.int64],
    column_high: NDArray[np.int64],
    column_weight: NDArray[np.float32],
    class_map_hw: NDArray[np.uint8],
) -> None:
    """Write the argmax of the bilinearly interpolated scores for every output pixel.

    Where the four cells around a pixel have the same best class, every convex combination of them
    has it too, so only the pixels between cells that disagree are interpolated.

    Args:
        scores_chw: `(C, h, w)` float32.
        classes_hw: `(h, w)` uint8, their argmax.
        row_low: `(H,)` upper source row of every output row; `row_high` the lower one.
        row_high: `(H,)`.
        row_weight: `(H,)` float32 in 0-1, weight of `row_high`.
        column_low: `(W,)`; the columns likewise.
        column_high: `(W,)`.
        column_weight: `(W,)` float32 in 0-1.
        class_map_hw: `(H, W)` uint8, written.
    """
    count = scores_chw.shape[0]
    height, width = class_map_hw.shape
    for row in prange(height):
        top, bottom, down = row_low[row], row_high[row], row_weight[row]
        for column in range(width):
            left, right = column_low[column], column_high[column]
            winner = classes_hw[top, left]
            if (
                classes_hw[top, right] != winner
                or classes_hw[bottom, left] != winner
                or classes_hw[bottom, right] != winner
            ):
                across = column_weight[column]
                best = np.float32(-np.inf)
                winner = np.uint8(0)
                for index in range(count):
                    upper = scores_chw[index, top, left] * (np.float32(1) - across)
                    upper += scores_chw[index, top, right] * across
                    lower = scores_chw[index, bottom, left] * (np.float32(1) - across)
                    lower += scores_chw[index, bottom, right] * across
                    score = upper * (np.float32(1) - down) + lower * down
                    if score > best:
                        best = score
                        winner = np.uint8(index)
            class_map_hw[row, column] = winner
