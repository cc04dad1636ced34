"""Tune a model: search, contest, arrivals, within the time given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tritonseg import SegmentationError
from tritonseg_engines.errors import LoadTestError, ServerStartError
from tritonseg_engines.load_test.load import ClosedLoop, Load, LoadTarget, OpenLoop, Window
from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.load_test.tester import LoadTester
from tritonseg_engines.perf_input import Transport
from tritonseg_engines.tuning.candidate import Candidate, Measured
from tritonseg_engines.tuning.climb import climb
from tritonseg_engines.tuning.contest import Contestant, contest, finalists, winner
from tritonseg_engines.tuning.open_loop import Arrivals, arrivals
from tritonseg_engines.tuning.queue_time import in_time
from tritonseg_engines.tuning.search import LEAST_GAIN, search
from tritonseg_engines.tuning.trial import served
from tritonseg_engines.tuning.variant import Variant

SEARCHING: Final = Window(
    warm_up_s=0.5, window_s=1.0, least_answers=20, windows=3, spread=0.1, most_s=6.0
)
"""Short: what is worth it is measured again in the contest."""
CONTEST: Final = Window(
    warm_up_s=1.0, window_s=2.0, least_answers=100, windows=3, spread=0.1, most_s=12.0
)
ARRIVALS: Final = Window(
    warm_up_s=1.0, window_s=3.0, least_answers=50, windows=2, spread=0.2, most_s=8.0
)
SEARCH_SHARE: Final = 0.5
CONTEST_SHARE: Final = 0.75
"""Of the time: until when the search, and until when the contest may begin something new."""

Report = Callable[[str, float], None]
"""Called with what was done and the seconds since the beginning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneOptions:
    """What is asked for.

    Attributes:
        latency_ms: Within which 99 of 100 pictures shall be answered.
        most_s: How long it may all take, in seconds; what runs then is finished.
        pictures: What callers send.
        transport: As pixels or as files.
        cores: That steps and CPU engines share.
    """

    latency_ms: float
    most_s: float
    pictures: tuple[Path, ...]
    transport: Transport
    cores: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """What was found.

    Attributes:
        options: What was asked for.
        variants: The builds that were compared; the first is what is served today.
        measured: All that the search measured, in its order.
        contestants: What is served today, then the finalists, measured again in turns.
        recommended: One of them.
        advised: That one, with a line that is as long as its callers have time.
        curves: Poisson arrivals of what is served today and, if it is another, the advised.
        measured_by: The tool.
        took_s: Seconds in all.
    """

    options: TuneOptions
    variants: tuple[Variant, ...]
    measured: tuple[Measured, ...]
    contestants: tuple[Contestant, ...]
    recommended: Contestant
    advised: Candidate
    curves: tuple[Arrivals, ...]
    measured_by: str
    took_s: float

    @property
    def default(self) -> Contestant:
        """What is served today."""
        return self.contestants[0]

    @property
    def keeps_default(self) -> bool:
        """Whether nothing that was tried beats what is served today."""
        return self.recommended is self.default

    @property
    def gain(self) -> float:
        """Goodput of the recommended over that of today's; infinite where today's has none."""
        if not self.default.goodput_per_s:
            return float("inf") if self.recommended.goodput_per_s else 1.0
        return self.recommended.goodput_per_s / self.default.goodput_per_s


class Tuner:
    """Tunes one model.

    Args:
        variants: Its builds; the first is what is served today.
        tester: Measures.
        options: What is asked for.
        report: Told of every configuration when it was measured.
    """

    def __init__(
        self,
        variants: tuple[Variant, ...],
        tester: LoadTester,
        options: TuneOptions,
        report: Report,
    ) -> None:
        self._variants = variants
        self._tester = tester
        self._options = options
        self._report = report
        self._begun = time.monotonic()

    def run(self) -> Tuned:
        """Search, let the best contest with what is served today, and overload both.

        Raises:
            LoadTestError: What is served today cannot be served or measured here.
        """
        defaults = [Candidate.as_built(one) for one in self._variants]
        measured = search(
            defaults,
            self._measure,
            cores=self._options.cores,
            has_time=lambda: self._spent < SEARCH_SHARE,
        )
        if measured[0].failure is not None:
            raise LoadTestError(f"{measured[0].candidate.label}: {measured[0].failure}")
        entrants = finalists(measured[0], measured)
        contestants = contest(
            entrants,
            self._turn,
            has_time=lambda: self._spent < CONTEST_SHARE,
        )
        recommended = winner(contestants, LEAST_GAIN)
        advised = recommended.candidate
        if recommended.goodput_per_s:
            measured_so = entrants[contestants.index(recommended)]
            advised = in_time(measured_so, self._options.latency_ms)
        return Tuned(
            options=self._options,
            variants=self._variants,
            measured=tuple(measured),
            contestants=tuple(contestants),
            recommended=recommended,
            advised=advised,
            curves=self._curves(contestants[0], advised, recommended),
            measured_by=self._tester.name,
            took_s=time.monotonic() - self._begun,
        )

    @property
    def _spent(self) -> float:
        """Share of the time that is over."""
        return (time.monotonic() - self._begun) / self._options.most_s

    def _measure(self, candidate: Candidate, callers: int) -> Measured:
        try:
            with served(candidate) as url:
                model = candidate.variant.model
                results = climb(
                    lambda at: self._load(url, model, ClosedLoop(callers=at), SEARCHING), callers
                )
            measured = Measured(candidate=candidate, by_callers=results)
        except (ServerStartError, LoadTestError, SegmentationError) as error:
            measured = Measured(candidate=candidate, by_callers={}, failure=str(error))
        self._say(_found(measured))
        return measured

    def _turn(self, url: str, one: Measured) -> LoadResult:
        load = ClosedLoop(callers=one.callers or 1)
        result = self._load(url, one.candidate.variant.model, load, CONTEST)
        self._say(f"again, in turns: {one.candidate.label}: {_figures(result)}")
        return result

    def _curves(
        self, served_today: Contestant, advised: Candidate, its: Contestant
    ) -> tuple[Arrivals, ...]:
        """Return the arrivals of each in its share of the time that is left."""
        pairs = [(served_today.candidate, served_today), (advised, its)]
        if advised == served_today.candidate:
            pairs = pairs[:1]
        begun, curves = self._spent, []
        for number, (candidate, one) in enumerate(pairs, 1):
            until = begun + (1 - begun) * number / len(pairs)
            if self._spent < until and one.typical.answered:
                curves.append(self._arrivals(candidate, one.typical.answered_per_s, until))
        return tuple(curves)

    def _arrivals(self, candidate: Candidate, capacity_per_s: float, until: float) -> Arrivals:
        def measure(rate: OpenLoop) -> LoadResult:
            with served(candidate) as url:
                return self._load(url, candidate.variant.model, rate, ARRIVALS)

        curve = arrivals(
            candidate.label, capacity_per_s, measure, has_time=lambda: self._spent < until
        )
        self._say(f"Poisson arrivals: {candidate.label}")
        return curve

    def _load(self, url: str, model: str, load: Load, window: Window) -> LoadResult:
        options = self._options
        target = LoadTarget(
            url=url, model=model, pictures=options.pictures, transport=options.transport
        )
        return self._tester.measure(
            target, load, latency_budget_ms=options.latency_ms, window=window
        )

    def _say(self, done: str) -> None:
        self._report(done, time.monotonic() - self._begun)


def _found(measured: Measured) -> str:
    """Return what came of a candidate in one line."""
    label, best = measured.candidate.label, measured.best
    if measured.failure is not None:
        return f"{label}: could not be measured: {measured.failure.splitlines()[0]}"
    if best is None:
        return f"{label}: p99 {measured.least_p99_ms:.0f} ms at best, above the latency"
    return f"{label}: {_figures(best)}"


def _figures(result: LoadResult) -> str:
    return f"{result.goodput_per_s:.2f} pictures/s, p99 {result.p99_ms:.0f} ms, {result.load}"
