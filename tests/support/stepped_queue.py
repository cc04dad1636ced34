"""What steps in a row answer, by mean value analysis: a formula instead of a server.

Source: Reiser and Lavenberg, "Mean-Value Analysis of Closed Multichain Queuing Networks", 1980,
with Seidmann's approximation of a station of several servers: one that is so many times as fast,
and a delay of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from tritonseg_engines.load_test.load import ClosedLoop
from tritonseg_engines.load_test.result import LoadResult, StepTimes
from tritonseg_engines.tuning.candidate import Candidate, Measured
from tritonseg_engines.tuning.climb import climb

STEPS = ("normalize_instances", "engine_instances", "argmax_instances")
P99_OF_MEAN = 1.5
"""What the tests take for a p99; any fixed ratio does."""


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


class Steps:
    """Three steps, each with as many servers as its processes: a formula in a server's place."""

    def __init__(self, service_ms: tuple[float, ...], latency_ms: float) -> None:
        self.service_ms = service_ms
        self.latency_ms = latency_ms
        self.servers_tried = 0

    def measure(self, candidate: Candidate, callers: int) -> Measured:
        self.servers_tried += 1
        results = climb(lambda at: self.result(candidate, at), callers)
        return Measured(candidate=candidate, by_callers=results)

    def result(self, candidate: Candidate, callers: int) -> LoadResult:
        servers = [getattr(candidate.settings, name) for name in STEPS]
        per_s, mean_ms, times_ms = mean_value_analysis(self.service_ms, servers, callers)
        answered = round(10 * per_s)
        p99_ms = P99_OF_MEAN * mean_ms
        steps = tuple(
            StepTimes(
                model=f"tiny{suffix}", executions=answered, pictures=answered,
                queue_ms=max(0.0, time_ms - service_ms / count), input_ms=0.0,
                infer_ms=service_ms, output_ms=0.0,
            )
            for suffix, service_ms, count, time_ms in zip(
                ("_normalize", "_engine", "_argmax"), self.service_ms, servers, times_ms,
                strict=True,
            )
        )  # fmt: skip
        return LoadResult(
            load=ClosedLoop(callers=callers), latency_budget_ms=self.latency_ms, duration_s=10.0,
            sent=answered, answered=answered, refused=0, failed=0, mean_ms=mean_ms,
            within_budget=answered if p99_ms <= self.latency_ms else 0,
            percentiles_ms={50: mean_ms, 90: mean_ms, 95: mean_ms, 99: p99_ms}, steps=steps,
            is_stable=True, measured_by="mean value analysis",
        )  # fmt: skip
