"""Whether a picture gets the same whatever runs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

REPEATED = 1e-3
"""Largest difference between two runs of one picture, as a share of the usual score."""
SCORES_LOOKED_AT = 1 << 18
"""Evenly, for what is usual."""


def same_outputs(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Return whether two runs gave the same but for rounding.

    Where a value is not a number, or infinite, they must agree in all.
    """
    if one.shape != other.shape:
        return False
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return bool(np.array_equal(one, other, equal_nan=True))
    steps = 2 * float(np.finfo(one.dtype).eps) if one.dtype.kind == "f" else 0.0
    first, second = (output.astype(np.float32, copy=False) for output in (one, other))
    size = np.abs(first)
    every = max(1, size.size // SCORES_LOOKED_AT)
    usual = float(np.median(size.ravel()[::every])) or float(size.max())
    return bool(np.all(np.abs(first - second) <= REPEATED * usual + steps * size))


def same_together(together: NDArray[Any], alone: Sequence[NDArray[Any]]) -> bool:
    """Return whether pictures got the same in one batch as alone, each with a batch axis.

    Of those that alone got no numbers nothing is asked but that they leave the others theirs.
    """
    if len(together) != len(alone):
        return False
    return all(
        same_outputs(together[index : index + 1], output)
        for index, output in enumerate(alone)
        if np.isfinite(output).all()
    )
