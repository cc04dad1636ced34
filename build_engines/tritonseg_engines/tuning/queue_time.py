"""How long a request may wait for its turn, so that it is answered in time or refused at once."""

from __future__ import annotations

from dataclasses import replace

from tritonseg_engines.tuning.candidate import Candidate, Measured


def in_time(measured: Measured, latency_ms: float) -> Candidate:
    """Return a candidate whose line is as long as its callers have time.

    What is left of the latency beside the p99 of the fewest callers may be waited for. Triton's
    own queues, those of a GPU, have no such setting.

    Args:
        measured: The candidate and its answers.
        latency_ms: Within which 99 of 100 pictures shall be answered.
    """
    candidate = measured.candidate
    if not candidate.settings.queue_limit or not candidate.variant.on_cpu:
        return candidate
    served_ms = next(one.p99_ms for one in measured.by_callers.values() if one.answered)
    wait_ms = max(1, round(latency_ms - served_ms))
    return replace(candidate, settings=replace(candidate.settings, queue_ms=wait_ms))
