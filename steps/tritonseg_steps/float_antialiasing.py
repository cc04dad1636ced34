"""The antialiased resize of what is normalised already: no rounding, no clipping.

The weights are those of `antialiasing`, before they become fixed point. Source of what it equals:
torch, `torch.nn.functional.interpolate(antialias=True)` of float32 tensors.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import prange
from numpy.typing import NDArray

from tritonseg_steps.antialiasing import KEPT_WEIGHTS, weights
from tritonseg_steps.compiled import compiled
from tritonseg_steps.geometry import Size


def antialiased_floats(
    plane_hw: NDArray[np.float32], size_hw: Size, interpolation: str
) -> NDArray[np.float32]:
    """Return one channel of a picture resized as torch does it, within rounding of float32.

    Args:
        plane_hw: `(H, W)` float32, any range.
        size_hw: Height and width to resize to, in pixels.
        interpolation: "bilinear" or "bicubic".

    Returns:
        `(h, w)` float32.
    """
    rows, columns = plane_hw.shape
    resized_hw = np.empty(size_hw, np.float32)
    down = _weights(rows, size_hw[0], interpolation)
    across = _weights(columns, size_hw[1], interpolation)
    _resize(np.ascontiguousarray(plane_hw), *down, *across, resized_hw)
    return resized_hw


@lru_cache(KEPT_WEIGHTS)
def _weights(
    source: int, target: int, interpolation: str
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    starts, values = weights(source, target, interpolation)
    inside = np.ascontiguousarray(values[:, :source])  # the others count for nothing
    return starts, inside.astype(np.float32)


@compiled(parallel=True, nogil=True, boundscheck=False)
def _resize(
    source_hw: NDArray[np.float32],
    first_row: NDArray[np.int64],
    row_weights: NDArray[np.float32],
    first_column: NDArray[np.int64],
    column_weights: NDArray[np.float32],
    target_hw: NDArray[np.float32],
) -> None:
    """Write the weighted sums; rows are added up first, where neighbours are computed at once."""
    height, width = target_hw.shape
    for row in prange(height):
        line = np.zeros(source_hw.shape[1], np.float32)
        for tap in range(row_weights.shape[1]):
            weight, pixels = row_weights[row, tap], source_hw[first_row[row] + tap]
            for column in range(len(line)):
                line[column] += weight * pixels[column]
        for column in range(width):
            total = np.float32(0)
            for tap in range(column_weights.shape[1]):
                total += column_weights[column, tap] * line[first_column[column] + tap]
            target_hw[row, column] = total
