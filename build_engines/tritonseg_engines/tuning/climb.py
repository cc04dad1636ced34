"""How many callers a configuration serves within the latency: doubled while that pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tritonseg_engines.load_test.result import LoadResult

MOST_CALLERS: Final = 256
LEAST_GAIN: Final = 0.03
"""Of throughput, by twice the callers; below it they only wait for each other."""
MOST_LOST: Final = 0.01
"""Share of the requests that may be refused or fail."""


def climb(
    measure: Callable[[int], LoadResult], first: int, has_time: Callable[[], bool] = lambda: True
) -> dict[int, LoadResult]:
    """Measure numbers of callers around a first one; return the results by it, ascending.

    From `first` it doubles until answers are late or twice the callers bring nothing, and halves
    while answers are late.

    Args:
        measure: Measures so many callers in a closed loop.
        first: Where to begin, from 1 on.
        has_time: Whether more callers may be tried; fewer are, until answers are in time.
    """
    results = {first: measure(first)}
    if not is_in_time(results[first]):
        callers = first
        while callers > 1 and not is_in_time(results[callers]):
            callers //= 2
            results[callers] = measure(callers)
        return dict(sorted(results.items()))
    callers = first
    while is_in_time(results[callers]) and callers < MOST_CALLERS and has_time():
        results[2 * callers] = measure(2 * callers)
        before, callers = results[callers], 2 * callers
        if results[callers].answered_per_s < before.answered_per_s * (1 + LEAST_GAIN):
            break
    return dict(sorted(results.items()))


def is_in_time(result: LoadResult) -> bool:
    """Whether 99 of 100 answers came within the latency, and as many requests were answered."""
    lost = result.refused + result.failed
    return (
        result.answered > 0
        and result.p99_ms <= result.latency_budget_ms
        and lost <= MOST_LOST * (result.answered + lost)
    )
