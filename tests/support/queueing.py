"""What steps in a row answer, by mean value analysis: a formula instead of a server.

Source: Reiser and Lavenberg, "Mean-Value Analysis of Closed Multichain Queuing Networks", 1980,
with Seidmann's approximation of a station of several servers: one that is so many times as fast,
and a delay of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence


def mean_value_analysis(
    service_ms: Sequence[float], servers: Sequence[int], callers: int
) -> tuple[float, float, list[float]]:
    """Return answers a second, milliseconds of a request, and its time at each station."""
    demand = [ms / count for ms, count in zip(service_ms, servers, strict=True)]
    delay = sum(ms - one for ms, one in zip(service_ms, demand, strict=True))
    queues = [0.0] * len(demand)
    throughput, times = 0.0, list(demand)
    for population in range(1, callers + 1):
        times = [one * (1 + queue) for one, queue in zip(demand, queues, strict=True)]
        throughput = population / (sum(times) + delay)
        queues = [throughput * one for one in times]
    return 1000 * throughput, sum(times) + delay, times
