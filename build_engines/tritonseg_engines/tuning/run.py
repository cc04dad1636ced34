"""Tune a model: search, contest, arrivals, within the time given."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from tritonseg_engines.errors import LoadTestError
from tritonseg_engines.load_test.load import ClosedLoop, Load, LoadTarget, OpenLoop, Window
from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.load_test.tester import LoadTester
from tritonseg_engines.serving import TritonServer
from tritonseg_engines.tuning.candidate import Candidate, Measured
from tritonseg_engines.tuning.climb import climb
from tritonseg_engines.tuning.contest import Contestant, contest, finalists, winner
from tritonseg_engines.tuning.open_loop import Arrivals, arrivals
from tritonseg_engines.tuning.queue_time import Advice, advise
from tritonseg_engines.tuning.search import LEAST_GAIN, search
from tritonseg_engines.tuning.told import figures, found
from tritonseg_engines.tuning.trial import FAILURES, refuse_ended, served
from tritonseg_engines.tuning.tuned import Tuned, TuneOptions
from tritonseg_engines.tuning.variant import Variant

SEARCHING: Final = Window(
    warm_up_s=0.5, window_s=1.0, least_answers=20, windows=3, spread=0.1, most_s=6.0
)
"""Short: what is worth it is measured again in the contest."""
CONTEST: Final = Window(
    warm_up_s=1.0, window_s=2.0, least_answers=100, windows=3, spread=0.1, most_s=7.0
)
TURN_SHARE: Final = 0.025
"""Of the time, that a turn may take where answers are few: nine of them are within the half."""
ARRIVALS: Final = Window(
    warm_up_s=1.0, window_s=3.0, least_answers=50, windows=2, spread=0.2, most_s=8.0
)
SEARCH_SHARE: Final = 0.5
CONTEST_SHARE: Final = 0.75
"""Of the time: until when the search, and until when the contest may begin something new."""

Report = Callable[[str, float], None]
"""Called with what was done and the seconds since the beginning."""


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
            defaults, self._measure, cores=self._options.cores, has_time=self._may_search
        )
        if measured[0].failure is not None:
            raise LoadTestError(f"{measured[0].candidate.label}: {measured[0].failure}")
        entrants = finalists(measured[0], measured)
        contestants, dropped = contest(
            entrants,
            self._turn,
            has_time=lambda: self._spent < CONTEST_SHARE,
        )
        recommended = winner(contestants, LEAST_GAIN)
        advice = self._advice(recommended, entrants)
        return Tuned(
            options=self._options,
            variants=self._variants,
            measured=tuple(measured),
            contestants=tuple(contestants),
            recommended=recommended,
            advice=advice,
            curves=self._curves(contestants[0], advice.candidate, recommended),
            measured_by=self._tester.name,
            took_s=time.monotonic() - self._begun,
            dropped=tuple(dropped),
        )

    def _may_search(self) -> bool:
        return self._spent < SEARCH_SHARE

    @property
    def _spent(self) -> float:
        """Share of the time that is over."""
        return (time.monotonic() - self._begun) / self._options.most_s

    def _measure(self, candidate: Candidate, callers: int) -> Measured:
        try:
            with served(candidate) as server:
                results = climb(
                    lambda at: self._load(server, candidate, ClosedLoop(callers=at), SEARCHING),
                    callers,
                    self._may_search,
                )
            measured = Measured(candidate=candidate, by_callers=results)
        except FAILURES as error:
            measured = Measured(
                candidate=candidate, by_callers={}, failure=str(error) or repr(error)
            )
        self._say(found(measured))
        return measured

    def _turn(self, server: TritonServer, one: Measured) -> LoadResult:
        load = ClosedLoop(callers=one.callers or 1)
        result = self._load(server, one.candidate, load, self._long)
        self._say(f"again, in turns: {one.candidate.label}: {figures(result)}")
        return result

    @property
    def _long(self) -> Window:
        """The window of a turn."""
        return replace(CONTEST, most_s=max(CONTEST.most_s, TURN_SHARE * self._options.most_s))

    def _advice(self, recommended: Contestant, entrants: Sequence[Measured]) -> Advice:
        if not recommended.goodput_per_s:
            return Advice(candidate=recommended.candidate)

        def measure(candidate: Candidate, callers: int) -> LoadResult:
            with served(candidate) as server:
                result = self._load(server, candidate, ClosedLoop(callers=callers), self._long)
            self._say(f"once more: {candidate.label}: {figures(result)}")
            return result

        (of,) = (one for one in entrants if one.candidate == recommended.candidate)
        try:
            return advise(of, recommended.callers, self._options.latency_ms, measure)
        except FAILURES as error:
            return Advice(
                candidate=recommended.candidate, refused=f"No longest wait was derived: {error}."
            )

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
            with served(candidate) as server:
                return self._load(server, candidate, rate, ARRIVALS)

        curve = arrivals(
            candidate.label, capacity_per_s, measure, has_time=lambda: self._spent < until
        )
        self._say(f"Poisson arrivals: {candidate.label}")
        return curve

    def _load(
        self, server: TritonServer, candidate: Candidate, load: Load, window: Window
    ) -> LoadResult:
        options = self._options
        target = LoadTarget(
            url=server.grpc_url,
            model=candidate.variant.model,
            pictures=options.pictures,
            transport=options.transport,
        )
        try:
            result = self._tester.measure(
                target, load, latency_budget_ms=options.latency_ms, window=window
            )
        except FAILURES:
            refuse_ended(server)  # which says more
            raise
        refuse_ended(server)
        return result

    def _say(self, done: str) -> None:
        self._report(done, time.monotonic() - self._begun)
