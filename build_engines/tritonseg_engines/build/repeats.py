"""Whether a picture gets the same whatever runs beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

REPEATED = 1e-3
"""Largest difference between two runs of one picture, as a share of the usual score."""


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
    usual = float(np.median(size)) or float(size.max())
    return bool(np.all(np.abs(first - second) <= REPEATED * usual + steps * size))


def beside_another(batch_nchw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a picture as the second of a batch, behind one of other values and other statistics.

    Behind one that is merely turned around, a network that normalizes by the whole batch would give
    it what it gets alone. Where the other's values lie within its own, a largest value of the whole
    batch is its own too: it is the other that gets another output then, so both are to be compared.
    """
    spread = np.float32(batch_nchw.max() - batch_nchw.min())
    other = batch_nchw[:, :, ::-1, ::-1] * np.float32(0.4) + spread / 2
    return np.concatenate([other, batch_nchw])
