"""What a configuration does when requests do not wait for answers: arrivals against goodput."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tritonseg_engines.load_test.load import OpenLoop
from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.tuning.trial import FAILURES

SHARES: Final = (1.0, 2.0, 0.5, 1.3, 0.8)
"""Of the capacity that closed loops found, those first that say most; beyond 1 is overload."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrivals:
    """A curve of Poisson arrivals.

    Attributes:
        label: Whose.
        capacity_per_s: Goodput of its best closed loop.
        results: One of each of `SHARES` that there was time for, by rate, ascending.
        failure: Why the next could not be measured, in one line.
    """

    label: str
    capacity_per_s: float
    results: tuple[LoadResult, ...]
    failure: str | None = None


def arrivals(
    label: str,
    capacity_per_s: float,
    measure: Callable[[OpenLoop], LoadResult],
    *,
    has_time: Callable[[], bool],
) -> Arrivals:
    """Measure a curve.

    Args:
        label: Whose it is.
        capacity_per_s: Pictures a second that it answers in a closed loop.
        measure: Measures one rate, at a server that no other has overloaded.
        has_time: Whether another may be begun.
    """
    results: dict[float, LoadResult] = {}
    failure = None
    for share in SHARES:
        if not has_time():
            break
        rate = OpenLoop(arrivals_per_s=share * capacity_per_s)
        try:
            results[share] = measure(rate)
        except FAILURES as error:
            failure = f"{label}, {rate}: {error}"
            break
    return Arrivals(
        label=label,
        capacity_per_s=capacity_per_s,
        results=tuple(results[share] for share in sorted(results)),
        failure=failure,
    )
