"""The loops that touch every pixel, compiled: scaling before the network, argmax after it.

NumPy would make several passes over tens of megabytes for either; one pass is what memory
bandwidth allows. What whole arrays are given is written as loops all the same: an assignment of one
array to another takes Numba two seconds to compile, most of them for an error message.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from tritonseg_steps.compiled import compiled


@compiled(parallel=True, nogil=True, boundscheck=False)
def scale_to_chw(
    image_hwc: NDArray[np.uint8],
    order: NDArray[np.int64],
    table: NDArray[np.float32],
    output_chw: NDArray[np.float32],
    top: int,
    left: int,
) -> None:
    """Write `table[c, image[..., order[c]]]` into every channel of the output.

    Args:
        image_hwc: `(H, W, 3)` uint8.
        order: `(C,)`; the picture's channel that becomes the output's channel `c`.
        table: `(C, 256)` float32, one row per output channel.
        output_chw: `(C, >= top + H, >= left + W)` float32; the other pixels stay as they are.
        top: Row of the output for the picture's first.
        left: Column likewise.
    """
    height, width = image_hwc.shape[0], image_hwc.shape[1]
    for row in prange(height):
        for channel in range(len(order)):
            source = order[channel]
            for column in range(width):
                value = table[channel, image_hwc[row, column, source]]
                output_chw[channel, top + row, left + column] = value


@compiled(parallel=True, nogil=True, boundscheck=False)
def lowest_argmax(scores_chw: NDArray[np.float32], classes_hw: NDArray[np.uint8]) -> None:
    """Write the class of the highest score per pixel; ties and NaN go to the lower class.

    Args:
        scores_chw: `(C, h, w)` float32, C <= 256.
        classes_hw: `(h, w)` uint8, written.
    """
    count, height, width = scores_chw.shape
    for row in prange(height):
        best = np.empty(width, np.float32)
        for column in range(width):
            best[column] = scores_chw[0, row, column]
            classes_hw[row, column] = 0
        for index in range(1, count):
            for column in range(width):
                score = scores_chw[index, row, column]
                if score > best[column]:
                    best[column] = score
                    classes_hw[row, column] = index


@compiled(parallel=True, nogil=True, boundscheck=False)
def upsample_argmax(
    scores_chw: NDArray[np.float32],
    classes_hw: NDArray[np.uint8],
    row_starts: NDArray[np.int64],
    row_weights: NDArray[np.float32],
    column_starts: NDArray[np.int64],
    column_weights: NDArray[np.float32],
    class_map_hw: NDArray[np.uint8],
) -> None:
    """Write the argmax of the bilinearly interpolated scores for every output pixel.

    A *cell* is the square between four neighbouring scores. Where the four have the same best
    class, every convex combination of them has it too, so only cells that disagree are
    interpolated, and in those only the classes that can win.

    Args:
        scores_chw: `(C, h, w)` float32.
        classes_hw: `(h, w)` uint8, their argmax.
        row_starts: `(rows of cells + 1,)`; the output rows of cell row `i` are
            `row_starts[i]` to `row_starts[i + 1]`.
        row_weights: `(H,)` float32 in 0-1; how far down in its cell every output row lies.
        column_starts: `(columns of cells + 1,)`; the columns likewise.
        column_weights: `(W,)` float32 in 0-1.
        class_map_hw: `(H, W)` uint8, written.
    """
    for top in prange(len(row_starts) - 1):
        _classify_row(
            scores_chw,
            classes_hw,
            int(np.int64(top)),  # a prange counts in uint64, of which Numba makes a second form
            row_starts,
            row_weights,
            column_starts,
            column_weights,
            class_map_hw,
        )


@compiled()
def _classify_row(
    scores_chw: NDArray[np.float32],
    classes_hw: NDArray[np.uint8],
    top: int,
    row_starts: NDArray[np.int64],
    row_weights: NDArray[np.float32],
    column_starts: NDArray[np.int64],
    column_weights: NDArray[np.float32],
    class_map_hw: NDArray[np.uint8],
) -> None:
    """Write the pixels of one row of cells."""
    start, end = row_starts[top], row_starts[top + 1]
    if start == end:
        return
    bottom, last = min(top + 1, len(row_starts) - 2), len(column_starts) - 2
    _fill(classes_hw[top], start, end, column_starts, class_map_hw)
    corners = np.empty((scores_chw.shape[0], 4), np.float32)
    candidates = np.empty(scores_chw.shape[0], np.uint8)
    for left in range(last + 1):
        right = min(left + 1, last)
        best = classes_hw[top, left]
        if (
            classes_hw[top, right] == best
            and classes_hw[bottom, left] == best
            and classes_hw[bottom, right] == best
        ):
            continue
        found = _candidates(scores_chw, top, bottom, left, right, corners, candidates)
        for row in range(start, end):
            for column in range(column_starts[left], column_starts[left + 1]):
                class_map_hw[row, column] = _winner(
                    corners, candidates, found, row_weights[row], column_weights[column]
                )


@compiled(inline="always")
def _fill(
    classes_w: NDArray[np.uint8],
    start: int,
    end: int,
    column_starts: NDArray[np.int64],
    class_map_hw: NDArray[np.uint8],
) -> None:
    """Give the pixels of a row of cells the class of their cell's upper left corner."""
    for left in range(len(column_starts) - 1):
        class_map_hw[start, column_starts[left] : column_starts[left + 1]] = classes_w[left]
    for row in range(start + 1, end):
        for column in range(class_map_hw.shape[1]):
            class_map_hw[row, column] = class_map_hw[start, column]


@compiled(inline="always")
def _candidates(
    scores_chw: NDArray[np.float32],
    top: int,
    bottom: int,
    left: int,
    right: int,
    corners: NDArray[np.float32],
    candidates: NDArray[np.uint8],
) -> int:
    """Collect the classes that can win in a cell, lowest first; return how many.

    Somewhere in the cell a class reaches at most its best corner, and everywhere at least its
    worst. Whose best is below another's worst never wins.
    """
    count = scores_chw.shape[0]
    bound = np.float32(-np.inf)
    for index in range(count):
        a, b = scores_chw[index, top, left], scores_chw[index, top, right]
        c, d = scores_chw[index, bottom, left], scores_chw[index, bottom, right]
        corners[index, 0], corners[index, 1], corners[index, 2], corners[index, 3] = a, b, c, d
        bound = max(bound, min(min(a, b), min(c, d)))
    candidates[0] = 0  # what a cell without any number gets
    found = 0
    for index in range(count):
        a, b = corners[index, 0], corners[index, 1]
        c, d = corners[index, 2], corners[index, 3]
        if max(max(a, b), max(c, d)) >= bound:
            candidates[found] = index
            found += 1
    return found


@compiled(inline="always")
def _winner(
    corners: NDArray[np.float32],
    candidates: NDArray[np.uint8],
    found: int,
    down: np.float32,
    across: np.float32,
) -> np.uint8:
    """Interpolate the candidates at one point of a cell; ties go to the lower class."""
    best = np.float32(-np.inf)
    winner: np.uint8 = candidates[0]
    for position in range(found):
        index = candidates[position]
        upper = corners[index, 0] * (np.float32(1) - across) + corners[index, 1] * across
        lower = corners[index, 2] * (np.float32(1) - across) + corners[index, 3] * across
        score = upper * (np.float32(1) - down) + lower * down
        if score > best:
            best = score
            winner = index
    return winner
