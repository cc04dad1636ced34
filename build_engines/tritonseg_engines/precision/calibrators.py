"""From how often values occur to the largest value that int8 should still represent.

All three work on the same histograms of absolute values, because TensorRT takes symmetric int8
only: a zero point of 0 and a scale of `threshold / 127`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.precision.activations import Histogram

PERCENTILE = 99.99
"""Share of the values, in per cent, that `percentile` represents without clipping."""
LEVELS = 128
"""Magnitudes that symmetric int8 has."""
ENTROPY_STRIDE = 8
"""Bins between two candidate thresholds."""


def minmax(histogram: Histogram) -> float:
    """Return the largest value that occurred: nothing is clipped."""
    return histogram.magnitude


def percentile(histogram: Histogram, share: float = PERCENTILE) -> float:
    """Return the upper edge of the bin at which a share of all values, in per cent, is reached."""
    cumulated = np.cumsum(histogram.counts)
    if not cumulated[-1]:
        return histogram.magnitude
    last = int(np.searchsorted(cumulated, cumulated[-1] * share / 100))
    return (last + 1) * histogram.width


def entropy(histogram: Histogram) -> float:
    """Return the threshold whose quantization loses least information.

    For every candidate the values up to it, those beyond gathered in its last bin, are compared
    with the same values when only `LEVELS` magnitudes can be told apart; the threshold with the
    smallest Kullback-Leibler divergence wins.

    Source: S. Migacz, "8-bit inference with TensorRT", GTC 2017, "Calibration algorithm". The
    histogram there has 2048 bins for 128 levels. ONNX Runtime's entropy calibrator has as many
    bins as levels (128), which leaves one candidate, the largest value (1.31).
    """
    counts = histogram.counts.astype(np.float64)
    # Zeros are exact at every scale; a ReLU makes half of all values zero, and they would decide.
    counts[0] = counts[1]
    if not counts.any():
        return histogram.magnitude
    edges = range(LEVELS, len(counts) + 1, ENTROPY_STRIDE)
    divergences = [_divergence(counts, edge) for edge in edges]
    return edges[int(np.argmin(divergences))] * histogram.width


def _divergence(counts: NDArray[np.float64], edge: int) -> float:
    """Return KL(values clipped at the bin `edge`, the same at `LEVELS` levels)."""
    kept = counts[:edge]
    clipped = kept.copy()
    clipped[-1] += counts[edge:].sum()
    occurred = clipped > 0
    level = np.arange(edge) * LEVELS // edge
    totals = np.bincount(level, weights=kept, minlength=LEVELS)
    occupied = np.bincount(level, weights=occurred, minlength=LEVELS)
    spread = np.divide(totals, occupied, out=np.zeros(LEVELS), where=occupied > 0)
    quantized = np.where(occurred, spread[level], 0.0)
    return _kullback_leibler(clipped, quantized)


def _kullback_leibler(expected: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    total, kept = expected.sum(), actual.sum()
    if not kept:
        return np.inf
    p, q = expected / total, actual / kept
    # Clipped values may lie in a level that nothing else does; there the divergence has no bound.
    if ((p > 0) & (q == 0)).any():
        return np.inf
    present = p > 0
    return float((p[present] * np.log(p[present] / q[present])).sum())


CALIBRATORS: dict[str, Callable[[Histogram], float]] = {
    "percentile": percentile,
    "minmax": minmax,
    "entropy": entropy,
}
"""By the names of the command line's `--calibrator`."""
