"""How long a request may wait for its turn, so that it is answered in time or refused at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.tuning.candidate import Candidate, Measured
from tritonseg_engines.tuning.climb import MOST_LOST

MeasureAt = Callable[[Candidate, int], LoadResult]
"""Serves a candidate and measures so many callers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """What to serve.

    Attributes:
        candidate: With a longest wait, if one is of use.
        refused: Why it is without one although it could have it, in one sentence: the callers that
            the candidate was chosen for would be refused.
    """

    candidate: Candidate
    refused: str | None = None


def advise(measured: Measured, callers: int, latency_ms: float, measure: MeasureAt) -> Advice:
    """Give a candidate a line that is as long as its callers have time, if they are answered then.

    What the latency leaves beside the p99 of a single caller may be waited for. Triton's own
    queues, those of a GPU, have no such setting.

    Args:
        measured: The candidate, and its answers.
        callers: The number for which it was chosen.
        latency_ms: Within which 99 of 100 pictures shall be answered.
        measure: Is asked for one caller, if that was not measured yet, and for all with the line.

    Raises:
        LoadTestError, ServerStartError, SegmentationError, OSError: It cannot be measured.
    """
    candidate = measured.candidate
    if not candidate.settings.queue_limit or not candidate.variant.on_cpu:
        return Advice(candidate=candidate)
    alone = measured.by_callers.get(1) or measure(candidate, 1)
    wait_ms = max(1, round(latency_ms - alone.p99_ms)) if alone.answered else 1
    bounded = replace(candidate, settings=replace(candidate.settings, queue_ms=wait_ms))
    result = measure(bounded, callers)
    if result.refused <= MOST_LOST * (result.answered + result.refused):
        return Advice(candidate=bounded)
    refused = (
        f"With a longest wait of {wait_ms} ms {result.refused} of "
        f"{result.answered + result.refused} requests of {callers} callers were refused, so none "
        "is recommended."
    )
    return Advice(candidate=candidate, refused=refused)
