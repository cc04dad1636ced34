"""What a step tells Prometheus, beside the figures that Triton has of it.

Triton 2.51 counts a request that a Python step answers with an error as a success, and one that
waits in a step's line as done within milliseconds (docs/monitoring.md has the measurements). So
steps count for themselves. This module imports `triton_python_backend_utils`, which exists only
inside Triton's Python backend.
"""

from __future__ import annotations

import os
import time
from enum import Enum
from typing import Any, Final

import triton_python_backend_utils as pb_utils

from tritonseg_steps.contract import (
    ARGMAX_SUFFIX,
    ENGINE_SUFFIX,
    MODEL_PARAMETER,
    NORMALIZE_SUFFIX,
)
from tritonseg_steps.model_config import ModelConfig
from tritonseg_steps.step_request import InputError
from tritonseg_steps.step_response import CancelledError

REQUESTS: Final = "tritonseg_requests_total"
REQUEST_SECONDS: Final = "tritonseg_request_seconds"
COMPUTE_SECONDS: Final = "tritonseg_compute_seconds"
SHARED_MEMORY: Final = "tritonseg_shared_memory_{}_bytes"
"""Of the machine or container, "used" and "size": whatever process sets it, it is the same."""
LOOK_AGAIN_S: Final = 5.0
"""How old the figures of shared memory may be when a request ends."""
WHOLE: Final = "whole"
"""The step that is all of its model."""
BUCKETS_S: Final = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60,
]  # fmt: skip
"""Upper ends: a quantile between two is known within a factor of 2 to 3."""


class Outcome(str, Enum):
    """How a step ended a request.

    Attributes:
        ANSWERED: With tensors.
        REFUSED: There was no place to wait; UNAVAILABLE.
        INVALID: The request is out of bounds or cannot be read; INVALID_ARGUMENT.
        CANCELLED: Its caller had left.
        FAILED: The step or its network went wrong; INTERNAL.
    """

    ANSWERED = "answered"
    REFUSED = "refused"
    INVALID = "invalid"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @classmethod
    def of(cls, error: Exception) -> Outcome:
        """Return what `failed_response` makes of an error."""
        if isinstance(error, InputError):
            return cls.INVALID
        return cls.CANCELLED if isinstance(error, CancelledError) else cls.FAILED


class StepMetrics:
    """The counters of one process of a step; Triton adds those of several up.

    Args:
        config: Of the step. Times are measured where it has a line; elsewhere Triton's are true.
    """

    def __init__(self, config: ModelConfig) -> None:
        served_model, step = _place(config)
        labels = {
            "model": config.name,
            "version": config.version,
            "served_model": served_model,
            "step": step,
        }
        # A family must live as long as its metrics.
        self._requests = _family(REQUESTS, "COUNTER", "Requests that a step ended, by how")
        self._outcomes = {
            outcome: self._requests.Metric(labels={**labels, "outcome": outcome.value})
            for outcome in Outcome
        }
        self._families: list[Any] = []
        self._times: tuple[Any, Any] | None = None  # of a request and of its turn
        # Source: python_backend's README; histograms are there from 24.09 (2.50) on.
        if config.admission is not None and hasattr(pb_utils.MetricFamily, "HISTOGRAM"):
            self._times = (
                self._histogram(REQUEST_SECONDS, "From arrival at a step to the answer", labels),
                self._histogram(COMPUTE_SECONDS, "From the turn's begin to the answer", labels),
            )
        self._shared_memory = {state: self._gauge(state) for state in ("used", "size")}
        self._looked_s = 0.0
        self._look()

    def count(self, outcome: Outcome, requests: int = 1) -> None:
        """Count requests that ended in the same way."""
        self._outcomes[outcome].increment(requests)
        if time.monotonic() - self._looked_s > LOOK_AGAIN_S:
            self._look()

    def end(self, outcome: Outcome, *, arrived_s: float, begun_s: float) -> None:
        """Count a request that had its turn, once it is sent; times are those of answers.

        Args:
            outcome: How it ended.
            arrived_s: When it came, by `time.monotonic`.
            begun_s: When its turn began.
        """
        self.count(outcome)
        now_s = time.monotonic()
        if outcome is Outcome.ANSWERED and self._times is not None:
            request_s, compute_s = self._times
            request_s.observe(now_s - arrived_s)
            compute_s.observe(now_s - begun_s)

    def _look(self) -> None:
        """Tell how full the memory is in which tensors cross processes."""
        self._looked_s = time.monotonic()
        found = os.statvfs("/dev/shm")  # noqa: S108 - Triton's own place
        self._shared_memory["used"].set((found.f_blocks - found.f_bfree) * found.f_frsize)
        self._shared_memory["size"].set(found.f_blocks * found.f_frsize)

    def _gauge(self, state: str) -> Any:
        family = _family(SHARED_MEMORY.format(state), "GAUGE", f"Bytes {state} of /dev/shm")
        self._families.append(family)
        return family.Metric(labels={})

    def _histogram(self, name: str, description: str, labels: dict[str, str]) -> Any:
        family = _family(name, "HISTOGRAM", description)
        self._families.append(family)
        return family.Metric(labels=labels, buckets=BUCKETS_S)


def _family(name: str, kind: str, description: str) -> Any:
    """Return a family of metrics; processes that ask for the same one share it."""
    return pb_utils.MetricFamily(
        name=name, description=description, kind=getattr(pb_utils.MetricFamily, kind)
    )


def _place(config: ModelConfig) -> tuple[str, str]:
    """Return the model that a client calls, and which of its steps this one is."""
    if config.optional(MODEL_PARAMETER) is None:
        for suffix in (NORMALIZE_SUFFIX, ENGINE_SUFFIX, ARGMAX_SUFFIX):
            if config.name.endswith(suffix):
                return config.name.removesuffix(suffix), suffix[1:]
    return config.name, WHOLE
