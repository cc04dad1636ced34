"""How far a mean IoU would move with other pictures of the same kind.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, percentile intervals.
Pictures are drawn with replacement; those of one drive are not independent, and then intervals are
too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 2000
SEED: Final = 0
CONFIDENCE: Final = 0.95
FEW_PICTURES: Final = 20
"""Below which an interval is called too narrow."""
_DRAWS_AT_ONCE: Final = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """Between which bounds a figure lies with 95 %.

    Attributes:
        low: The lower.
        high: The upper.
    """

    low: float
    high: float


def resampled_mean_iou(
    by_picture: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = SEED
) -> NDArray[np.float64] | None:
    """Return the mean IoU of data sets that are drawn from the pictures of one.

    The same seed and number of pictures draw the same, so that differences of two models are of
    the same pictures. Every mean is over the classes of all pictures' mean: one that neither
    occurs nor is predicted in what was drawn keeps its IoU of all pictures. Were it left out, data
    sets without rare classes, which are low, would have higher means, and the figure itself could
    lie below its own interval.

    Args:
        by_picture: (N, 2, C) int64, intersection and union of every class in every picture.
        resamples: How often is drawn.
        seed: Of what is drawn.

    Returns:
        (resamples,) float64; None for fewer than two pictures, of which nothing can be told.
    """
    count, _, classes = by_picture.shape
    if count < 2:
        return None
    # Sums of pixels are exact in float64, up to 2^53, and products of it are fast.
    whole = by_picture.sum(axis=0).astype(np.float64)
    flat = by_picture.reshape(count, 2 * classes).astype(np.float64)
    random = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // count)
    found = []
    for begin in range(0, resamples, at_once):
        times = _drawn(random, min(at_once, resamples - begin), count)
        sums = (times @ flat).reshape(-1, 2, classes)
        found.append(_mean_iou(sums[:, 0], sums[:, 1], whole))
    return np.concatenate(found)


def interval_of(resampled: NDArray[np.float64]) -> Interval:
    """Return the middle 95 % of resampled figures."""
    rest = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [rest, 1 - rest])
    return Interval(low=float(low), high=float(high))


def _drawn(random: np.random.Generator, rows: int, count: int) -> NDArray[np.float64]:
    """Return how often each picture was drawn: (rows, count)."""
    draws = random.integers(0, count, (rows, count)) + np.arange(rows)[:, None] * count
    times = np.bincount(draws.ravel(), minlength=rows * count).reshape(rows, count)
    return times.astype(np.float64)


def _mean_iou(
    hits: NDArray[np.float64], union: NDArray[np.float64], whole: NDArray[np.float64]
) -> NDArray[np.float64]:
    of_all = np.divide(whole[0], whole[1], out=np.zeros_like(whole[0]), where=whole[1] > 0)
    iou = np.divide(hits, union, out=np.tile(of_all, (len(hits), 1)), where=union > 0)
    mean: NDArray[np.float64] = iou.sum(axis=1) / max(int((whole[1] > 0).sum()), 1)
    return mean
