"""When a failed request is sent again, and how long to wait before: pure, without any I/O.

gRPC's own retries are no help here: they silently skip requests over 256 KiB, which every
picture is.

Source: backoff and jitter as in openai-python; the budget after Finagle's RetryBudget and
Envoy's retry budgets, both with 20 % by default.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from .._config import RetryPolicy
from .._errors import SegmentationError

BUDGET_RATIO: Final = 0.2
"""Retries allowed per recent call."""

BUDGET_RESERVE: Final = 10.0
"""Recent retries allowed on top, so that a client with few calls can retry at all."""

BUDGET_MEMORY_S: Final = 30.0
"""Time constant with which calls and retries are forgotten."""

MAX_JITTER: Final = 0.25
"""Largest share by which a pause is shortened, so that clients do not come back in step."""


class RetryBudget:
    """What a client may add to the load of a server that is in trouble.

    Over all calls of one client, retries stay below 20 % of the recent calls plus a small
    reserve. An outage that hits 1 000 calls then costs the server about 1 210 requests, where
    two retries for each would make 3 000. Safe to share between threads.

    Args:
        clock: Monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._updated_s = clock()
        self._calls = 0.0
        self._retries = 0.0

    def record_call(self) -> None:
        """Count one call, whatever becomes of it."""
        with self._lock:
            self._forget()
            self._calls += 1.0

    def try_spend(self) -> bool:
        """Count one retry and return True, or return False if there is no room for it."""
        with self._lock:
            self._forget()
            if self._retries + 1.0 > BUDGET_RESERVE + BUDGET_RATIO * self._calls:
                return False
            self._retries += 1.0
            return True

    def _forget(self) -> None:
        now_s = self._clock()
        kept = math.exp((self._updated_s - now_s) / BUDGET_MEMORY_S)
        self._updated_s = now_s
        self._calls *= kept
        self._retries *= kept


class RetrySequence:
    """The attempts of one call.

    Args:
        policy: How often and how soon to retry.
        budget: What all calls of the client share; this call is counted in it.
    """

    def __init__(self, policy: RetryPolicy, budget: RetryBudget) -> None:
        self._policy = policy
        self._budget = budget
        self.attempts = 1
        budget.record_call()

    def next_delay_s(self, error: SegmentationError, remaining_s: float) -> float | None:
        """Return the pause before the next attempt in seconds, or None to give up.

        Args:
            error: Why the last attempt failed.
            remaining_s: Seconds until the call's deadline.
        """
        if not error.retryable or self.attempts > self._policy.max_retries:
            return None
        # Jitter needs no secrecy.
        delay_s = compute_delay_s(self._policy, self.attempts, random.random())  # noqa: S311
        if delay_s >= remaining_s or not self._budget.try_spend():
            return None
        self.attempts += 1
        return delay_s


def compute_delay_s(policy: RetryPolicy, retry: int, jitter: float) -> float:
    """Return the pause in seconds before retry number `retry`.

    Args:
        policy: First and longest pause.
        retry: 1 for the first retry.
        jitter: Random number in [0, 1); at 1 the pause would be `MAX_JITTER` shorter.
    """
    delay_s = min(policy.initial_delay_s * 2.0 ** (retry - 1), policy.max_delay_s)
    return delay_s * (1.0 - MAX_JITTER * jitter)
