"""Every public method of the clients that asks a server, and the way that each has to end badly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tritonseg

TIMEOUT_S, GRACE_S = 0.5, 0.25
IMAGE = np.zeros((2, 3, 3), np.uint8)


def _segment_many(client: Any) -> object:
    ((_, outcome),) = client.segment_many([IMAGE], timeout_s=TIMEOUT_S)
    if isinstance(outcome, tritonseg.SegmentationError):
        raise outcome
    return outcome


METHODS: dict[str, Callable[[Any], object]] = {
    "segment": lambda client: client.segment(IMAGE, timeout_s=TIMEOUT_S),
    "segment_many": _segment_many,
    "describe": lambda client: client.describe(),
    "is_ready": lambda client: client.is_ready(timeout_s=TIMEOUT_S),
    "wait_ready": lambda client: client.wait_ready(timeout_s=TIMEOUT_S),
}


def failure_of(client: Any, method: str) -> type[tritonseg.SegmentationError] | None:
    """Return the error of a call that must fail in time; None for `is_ready`, which says False."""
    begin_s = time.monotonic()
    try:
        outcome = METHODS[method](client)
    except tritonseg.SegmentationError as error:
        outcome = type(error)
    took_s = time.monotonic() - begin_s
    assert took_s < TIMEOUT_S + GRACE_S, f"{method} ended after {took_s:.2f} s"
    if method == "is_ready":
        assert outcome is False, outcome
        return None
    assert isinstance(outcome, type), outcome
    return outcome
