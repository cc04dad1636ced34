"""How the suite measures: calls in turns, and closed loops of callers. Standard library only.

The peers' own environments import this module, so it may need nothing that they lack.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

Call = Callable[[], object]
RateOf = Callable[[int], float]
"""Concurrency to answers a second."""

LEAST_ANSWERS = 3
"""Of each caller in a closed loop, however long that takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How long to measure.

    Attributes:
        warm_up: Calls of every contender that do not count.
        rounds: Rounds of latency; in each, every contender is called once.
        loop_rounds: Rounds of closed loops; in each, every contender has one loop.
        loop_s: Length of a closed loop, in seconds.
    """

    warm_up: int
    rounds: int
    loop_rounds: int
    loop_s: float


FULL = Pace(warm_up=3, rounds=30, loop_rounds=2, loop_s=12)
QUICK = Pace(warm_up=1, rounds=3, loop_rounds=1, loop_s=3)


def latencies_ms(calls: Mapping[str, Call], pace: Pace) -> dict[str, list[float]]:
    """Call everybody in turns; return each one's milliseconds."""
    for call in list(calls.values()) * pace.warm_up:
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(pace.rounds):
        for name, call in calls.items():
            times[name].append(time_ms(call))
    return times


def rates(
    loops: Mapping[str, RateOf], concurrencies: Sequence[int], rounds: int
) -> dict[str, dict[int, float]]:
    """Run everybody's closed loops in turns; return median answers a second by concurrency."""
    found: dict[str, dict[int, list[float]]] = {
        name: {concurrency: [] for concurrency in concurrencies} for name in loops
    }
    for _ in range(rounds):
        for concurrency in concurrencies:
            for name, loop in loops.items():
                found[name][concurrency].append(loop(concurrency))
    return {
        name: {at: statistics.median(values) for at, values in by_concurrency.items()}
        for name, by_concurrency in found.items()
    }


def time_ms(call: Call) -> float:
    """Return how long one call takes, in milliseconds."""
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


def closed_loop_rate(call: Call, *, concurrency: int, loop_s: float) -> float:
    """Return answers a second while so many callers ask again as soon as they are answered."""
    ends: list[float] = []
    deadline = time.perf_counter() + loop_s

    def ask() -> None:
        while time.perf_counter() < deadline or len(ends) < LEAST_ANSWERS * concurrency:
            call()
            ends.append(time.perf_counter())

    with ThreadPoolExecutor(concurrency) as pool:
        for caller in [pool.submit(ask) for _ in range(concurrency)]:
            caller.result()
    return steady_rate(ends, concurrency)


def steady_rate(ends: Sequence[float], concurrency: int) -> float:
    """Return the rate of answers between filling and draining, from when each came.

    The slope of a line through them all, because servers that batch answer in bursts, and a
    count between two answers depends on where in a burst they lie.

    Args:
        ends: When each answer came, in seconds; at least `LEAST_ANSWERS` of each caller.
        concurrency: Callers; so many answers are of a loop that still fills or drains.
    """
    steady = sorted(ends)[concurrency - 1 : len(ends) - concurrency + 1]
    return statistics.linear_regression(steady, range(len(steady))).slope
