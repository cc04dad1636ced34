"""What came of a measurement, in one line."""

from __future__ import annotations

from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.tuning.candidate import Measured
from tritonseg_engines.tuning.climb import is_in_time

FEW_ANSWERS = 100
"""Of fewer, the 99th percentile is the slowest."""


def found(measured: Measured) -> str:
    """Return what came of a candidate."""
    best = measured.best
    return f"{measured.candidate.label}: {shortfall(measured) if best is None else figures(best)}"


def figures(result: LoadResult) -> str:
    """Return what came of a load, and why it does not count, if it does not."""
    counts = is_in_time(result)
    per_s = result.goodput_per_s if counts else result.answered_per_s
    said = f"{per_s:.2f} pictures/s, p99 {milliseconds(result.p99_ms)}, {result.load}"
    return said if counts else f"{said}: {_why(result)}"


def shortfall(measured: Measured) -> str:
    """Return why no number of callers counts."""
    if measured.failure is not None:
        return f"could not be measured: {measured.failure.splitlines()[0]}"
    results = list(measured.by_callers.values())
    late = [one for one in results if one.p99_ms > one.latency_budget_ms]
    if len(late) < len(results):
        return _why(next(one for one in results if one not in late))
    if not any(one.answered for one in results):
        return _why(results[0])
    return f"p99 {measured.least_p99_ms:.0f} ms at best, above the latency"


def milliseconds(value_ms: float) -> str:
    """Return a latency; a dash where nothing was answered."""
    return f"{value_ms:.0f} ms" if value_ms < float("inf") else "-"


def _why(result: LoadResult) -> str:
    """Return why a result does not count."""
    if not result.answered:
        return f"nothing was answered in {result.duration_s:.0f} s{_lost(result)}"
    if result.p99_ms > result.latency_budget_ms:
        return "above the latency"
    return f"more than 1 of 100 requests were not answered{_lost(result)}"


def _lost(result: LoadResult) -> str:
    counts = {"refused": result.refused, "failed": result.failed}
    return "".join(f", {count} {what}" for what, count in counts.items() if count)
