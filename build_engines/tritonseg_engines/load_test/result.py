"""What a load test found."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tritonseg_engines.load_test.load import ClosedLoop, Load

PERCENTILES: Final = (50, 90, 95, 99)
"""Those of perf_analyzer's CSV."""
US_PER_MS: Final = 1000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTimes:
    """What Triton counted for one model while the load was measured; means for a request.

    A step that keeps a line of its own within Triton's computing counts that as computing.

    Attributes:
        model: Name of the ensemble or of a step, or of a single or fused model.
        executions: How often the model ran; fewer than `pictures` where it ran batches.
        pictures: Requests times their batch.
        queue_ms: Waiting for an instance.
        input_ms: Receiving the tensors.
        infer_ms: Computing; for the ensemble, the sum over its steps.
        output_ms: Handing the tensors on.
    """

    model: str
    executions: int
    pictures: int
    queue_ms: float
    input_ms: float
    infer_ms: float
    output_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadResult:
    """Answers and their times under one load.

    Attributes:
        load: What was sent.
        latency_budget_ms: What an answer may take and still count as goodput.
        duration_s: Seconds over which was counted, the warm-up not among them.
        sent: Requests whose time to be sent was in it.
        answered: Answers that came in it, with a mask.
        within_budget: Those of them that took `latency_budget_ms` at most.
        refused: Requests that the server refused as overload (gRPC's UNAVAILABLE).
        failed: Requests that failed in any other way, or were not answered by their deadline; of
            callers who waited in vain at the end, as many as they could have sent.
        mean_ms: Mean latency of the answers.
        percentiles_ms: Latency by percentile: 50, 90, 95 and 99. With an open loop latency begins
            when a request was to be sent.
        steps: What Triton counted: the model that was asked, then each of its steps.
        is_stable: Whether the windows agreed, nothing failed, and whoever sent kept the schedule.
        measured_by: "perf_analyzer", "built-in", or words that begin with one of them.
        remarks: One true line each: why it is not stable, what is an estimate.
    """

    load: Load
    latency_budget_ms: float
    duration_s: float
    sent: int
    answered: int
    within_budget: int
    refused: int
    failed: int
    mean_ms: float
    percentiles_ms: Mapping[int, float]
    steps: tuple[StepTimes, ...]
    is_stable: bool
    measured_by: str
    remarks: tuple[str, ...] = ()

    @property
    def answered_per_s(self) -> float:
        """Answers a second."""
        return self.answered / self.duration_s

    @property
    def goodput_per_s(self) -> float:
        """Answers within the latency budget a second."""
        return self.within_budget / self.duration_s

    @property
    def p99_ms(self) -> float:
        """The latency that 99 of 100 answers do not exceed."""
        return self.percentiles_ms[99]

    def perf_columns(self) -> Mapping[str, float]:
        """Return what perf_analyzer's CSV has, by the names of its columns, and in its units.

        Latencies are whole microseconds there. The server's columns are of the model that was
        asked. What has no column there (sending and receiving within the client) is left out, and
        so are latencies where nothing was answered.

        Source: perf_analyzer 2.60, src/report_writer.cc.
        """
        load: Mapping[str, float] = (
            {"Concurrency": self.load.callers}
            if isinstance(self.load, ClosedLoop)
            else {"Request Rate": self.load.arrivals_per_s}
        )
        columns: dict[str, float] = {**load, "Inferences/Second": self.answered_per_s}
        if self.steps:
            model = self.steps[0]
            columns |= {
                "Server Queue": _us(model.queue_ms),
                "Server Compute Input": _us(model.input_ms),
                "Server Compute Infer": _us(model.infer_ms),
                "Server Compute Output": _us(model.output_ms),
            }
        if self.answered:
            columns |= {f"p{rank} latency": _us(ms) for rank, ms in self.percentiles_ms.items()}
            columns |= {"Avg latency": _us(self.mean_ms)}
        return types.MappingProxyType(columns)


def _us(value_ms: float) -> float:
    return round(value_ms * US_PER_MS)
