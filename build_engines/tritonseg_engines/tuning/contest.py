"""The recommendation against what is served today, measured again in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.tuning.candidate import Candidate, Measured
from tritonseg_engines.tuning.climb import is_in_time
from tritonseg_engines.tuning.trial import served

ROUNDS: Final = 3
FINALISTS: Final = 2
"""Besides what is served today."""

MeasureTurn = Callable[[str, Measured], LoadResult]
"""Measures an entrant that is served at HOST:PORT, with the callers that were best."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """A candidate and its turns.

    Attributes:
        candidate: What was served.
        callers: How many, the number that the search found best.
        turns: What came of each round.
    """

    candidate: Candidate
    callers: int
    turns: tuple[LoadResult, ...]

    @property
    def goodput_per_s(self) -> float:
        """Median of the rounds, each of which counts as 0 where its answers were late."""
        return statistics.median(
            one.goodput_per_s if is_in_time(one) else 0.0 for one in self.turns
        )

    @property
    def p99_ms(self) -> float:
        """Median of the rounds."""
        return statistics.median(one.p99_ms for one in self.turns)

    @property
    def typical(self) -> LoadResult:
        """The round with the median goodput."""
        return sorted(self.turns, key=lambda one: one.goodput_per_s)[len(self.turns) // 2]


def finalists(default: Measured, found: Sequence[Measured]) -> list[Measured]:
    """Return the default and the best of the others, the default first."""
    others = (one for one in found if one is not default and one.best is not None)
    return [default, *sorted(others, key=lambda one: -one.goodput_per_s)[:FINALISTS]]


def contest(
    entrants: Sequence[Measured], measure: MeasureTurn, *, has_time: Callable[[], bool]
) -> list[Contestant]:
    """Serve all at once and measure them in turns, so that what disturbs one disturbs all.

    Args:
        entrants: At least one.
        measure: Measures one turn.
        has_time: Whether another round may be begun; the first always is.
    """
    turns: list[list[LoadResult]] = [[] for _ in entrants]
    with ExitStack() as servers:
        urls = [servers.enter_context(served(one.candidate)) for one in entrants]
        for round_number in range(ROUNDS):
            if round_number and not has_time():
                break
            for one, url, results in zip(entrants, urls, turns, strict=True):
                results.append(measure(url, one))
    return [
        Contestant(candidate=one.candidate, callers=one.callers or 1, turns=tuple(results))
        for one, results in zip(entrants, turns, strict=True)
    ]


def winner(contestants: Sequence[Contestant], least_gain: float) -> Contestant:
    """Return the best if it beats the first, what is served today, by enough; else the first."""
    first, best = contestants[0], max(contestants, key=lambda one: one.goodput_per_s)
    return best if best.goodput_per_s > first.goodput_per_s * (1 + least_gain) else first
