"""Every public method of the clients that asks a server, and the way that each has to end badly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tritonseg

TIMEOUT_S, GRACE_S = 0.5, 0.25
IMAGE = np.zeros((2, 3, 3), np.uint8)


def _segment_many(client: Any, timeout_s: float) -> object:
    ((_, outcome),) = client.segment_many([IMAGE], timeout_s=timeout_s)
    if isinstance(outcome, tritonseg.SegmentationError):
        raise outcome
    return outcome


METHODS: dict[str, Callable[[Any, float], object]] = {
    "segment": lambda client, timeout_s: client.segment(IMAGE, timeout_s=timeout_s),
    "segment_many": _segment_many,
    "describe": lambda client, timeout_s: client.describe(),  # has the client's own
    "is_ready": lambda client, timeout_s: client.is_ready(timeout_s=timeout_s),
    "wait_ready": lambda client, timeout_s: client.wait_ready(timeout_s=timeout_s),
}


def failure_of(
    client: Any, method: str, timeout_s: float = TIMEOUT_S
) -> type[tritonseg.SegmentationError] | None:
    """Return the error of a call that must fail in time; None for `is_ready`, which says False."""
    begin_s = time.monotonic()
    try:
        outcome = METHODS[method](client, timeout_s)
    except tritonseg.SegmentationError as error:
        outcome = type(error)
    took_s = time.monotonic() - begin_s
    assert took_s < timeout_s + GRACE_S, f"{method} ended after {took_s:.2f} s"
    if method == "is_ready":
        assert outcome is False, outcome
        return None
    assert isinstance(outcome, type), outcome
    return outcome
