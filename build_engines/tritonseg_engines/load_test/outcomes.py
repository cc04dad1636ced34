"""What came of requests, window by window, and whether the windows agree."""

from __future__ import annotations

import math
import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from tritonseg_engines.load_test.load import Window
from tritonseg_engines.load_test.result import PERCENTILES
from tritonseg_engines.load_test.triton_counters import Counted


@dataclass(kw_only=True, slots=True)
class Outcomes:
    """What came of the requests of one window; filled while it lasts.

    Attributes:
        sent: Requests that were due.
        latencies_ms: Of each answer, in the order in which they came.
        lateness_ms: By how much whoever sends was behind its schedule, each time it looked.
        refused: Requests refused as overload.
        failures: What the others failed with.
    """

    sent: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    lateness_ms: list[float] = field(default_factory=list)
    refused: int = 0
    failures: list[str] = field(default_factory=list)


class Recorder:
    """Takes outcomes from many threads and hands out what came since it last did."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = Outcomes()

    def sent(self) -> None:
        """Count a request that is due."""
        with self._lock:
            self._now.sent += 1

    def late(self, lateness_ms: float) -> None:
        """Note by how much whoever sends is behind."""
        with self._lock:
            self._now.lateness_ms.append(lateness_ms)

    def answered(self, latency_ms: float) -> None:
        """Count an answer."""
        with self._lock:
            self._now.latencies_ms.append(latency_ms)

    def refused(self) -> None:
        """Count a request that was refused as overload."""
        with self._lock:
            self._now.refused += 1

    def failed(self, reason: str) -> None:
        """Count a request that failed in another way."""
        with self._lock:
            self._now.failures.append(reason)

    @property
    def settled(self) -> int:
        """Requests that were answered, refused or failed since the last cut."""
        with self._lock:
            now = self._now
            return len(now.latencies_ms) + now.refused + len(now.failures)

    def cut(self) -> Outcomes:
        """Return what came since the last cut."""
        with self._lock:
            outcomes, self._now = self._now, Outcomes()
        return outcomes


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredWindow:
    """A window that is over.

    Attributes:
        duration_s: How long it was.
        outcomes: What came in it.
        before: Triton's counters at its beginning; None where Triton does not tell.
        after: The same at its end.
    """

    duration_s: float
    outcomes: Outcomes
    before: Counted | None
    after: Counted | None


def disagreement(measured: Sequence[MeasuredWindow], window: Window) -> str | None:
    """Return how the last windows differ by more than they may, or None where they agree."""
    last = measured[-window.windows :]
    if len(last) < window.windows:
        return f"{len(last)} of {window.windows} windows were measured"
    if not all(one.outcomes.latencies_ms for one in last):
        return "a window had no answer"
    rates_per_s = [len(one.outcomes.latencies_ms) / one.duration_s for one in last]
    means_ms = [statistics.fmean(one.outcomes.latencies_ms) for one in last]
    return difference(rates_per_s, means_ms, spread=window.spread)


def difference(
    rates_per_s: Sequence[float], means_ms: Sequence[float], *, spread: float
) -> str | None:
    """Return how windows differ in answers a second or mean latency, if it is too much.

    Source: perf_analyzer 2.60, src/inference_profiler.cc, CheckWindowForStability.
    """
    for values, what in ((rates_per_s, "answers a second"), (means_ms, "ms in the mean")):
        if max(values) > (1 + spread) * min(values):
            return (
                f"the last {len(values)} windows had {min(values):.4g} to {max(values):.4g} "
                f"{what}, more than {spread:.0%} apart"
            )
    return None


def percentile_ms(sorted_ms: Sequence[float], rank: int) -> float:
    """Return the least latency that `rank` of 100 do not exceed; infinite where there is none."""
    if not sorted_ms:
        return math.inf
    return sorted_ms[math.ceil(rank / 100 * len(sorted_ms)) - 1]


def percentiles_ms(latencies_ms: Sequence[float]) -> dict[int, float]:
    """Return the latencies at `PERCENTILES`."""
    ordered = sorted(latencies_ms)
    return {rank: percentile_ms(ordered, rank) for rank in PERCENTILES}
