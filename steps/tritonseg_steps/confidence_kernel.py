"""How sure the network is of every pixel's class, compiled; for requests that ask for it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import prange
from numpy.typing import NDArray

from tritonseg_steps.compiled import compiled

NEGLIGIBLE: Final = np.float32(-16)
"""Score behind the best from which a class is not counted: exp(-16) of 255 classes is 3e-5."""


@compiled(parallel=True, nogil=True, boundscheck=False)
def upsample_confidence(
    scores_chw: NDArray[np.float32],
    row_starts: NDArray[np.int64],
    row_weights: NDArray[np.float32],
    column_starts: NDArray[np.int64],
    column_weights: NDArray[np.float32],
    are_probabilities: bool,
    confidence_hw: NDArray[np.uint8],
) -> None:
    """Write 255 times the highest interpolated score, or the softmax there, rounded.

    Args:
        scores_chw: `(C, h, w)` float32.
        row_starts: As for `upsample_argmax`.
        row_weights: As for `upsample_argmax`.
        column_starts: As for `upsample_argmax`.
        column_weights: As for `upsample_argmax`.
        are_probabilities: Whether scores are, or else logits.
        confidence_hw: `(H, W)` uint8, written.
    """
    count, _, width = scores_chw.shape
    last_row, last_column = len(row_starts) - 2, len(column_starts) - 2
    for top in prange(len(row_starts) - 1):
        bottom = min(top + 1, last_row)
        row_wc = np.empty((width, count), np.float32)
        scores = np.empty(count, np.float32)
        for row in range(row_starts[top], row_starts[top + 1]):
            down = row_weights[row]
            for index in range(count):
                for column in range(width):
                    row_wc[column, index] = (
                        scores_chw[index, top, column] * (np.float32(1) - down)
                        + scores_chw[index, bottom, column] * down
                    )
            for left in range(last_column + 1):
                right = min(left + 1, last_column)
                for column in range(column_starts[left], column_starts[left + 1]):
                    across = column_weights[column]
                    for index in range(count):
                        scores[index] = (
                            row_wc[left, index] * (np.float32(1) - across)
                            + row_wc[right, index] * across
                        )
                    confidence_hw[row, column] = _confidence(scores, are_probabilities)


@compiled(inline="always")
def _confidence(scores: NDArray[np.float32], are_probabilities: bool) -> np.uint8:
    """Return 255 times the highest score, or the softmax there, rounded; 0 if one is NaN."""
    best = scores[0]
    for score in scores:
        if np.isnan(score):
            return np.uint8(0)
        best = max(best, score)
    if are_probabilities:
        return np.uint8(np.float32(255) * best + np.float32(0.5)) if 0 <= best <= 1 else np.uint8(0)
    total = np.float32(0)
    for score in scores:
        if not score - best <= NEGLIGIBLE:
            total += np.exp(score - best)
    if not total >= 1:
        return np.uint8(0)
    return np.uint8(np.float32(255) / total + np.float32(0.5))
