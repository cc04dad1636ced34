"""The recommendation against what is served today, measured again in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.serving import TritonServer
from tritonseg_engines.tuning.candidate import Candidate, Measured
from tritonseg_engines.tuning.climb import is_in_time
from tritonseg_engines.tuning.trial import FAILURES, served

ROUNDS: Final = 3
FINALISTS: Final = 2
"""Besides what is served today."""

MeasureTurn = Callable[[TritonServer, Measured], LoadResult]
"""Measures an entrant on its server, with the callers that were best."""
_Done = TypeVar("_Done")


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
    def rounds_per_s(self) -> list[float]:
        """Goodput of each round; 0 where its answers were late or too many were not answered."""
        return [one.goodput_per_s if is_in_time(one) else 0.0 for one in self.turns]

    @property
    def goodput_per_s(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.rounds_per_s)

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
) -> tuple[list[Contestant], list[str]]:
    """Serve all at once and measure them in turns, so that what disturbs one disturbs all.

    Args:
        entrants: At least one; the first is what is served today.
        measure: Measures one turn.
        has_time: Whether another round may be begun; the first always is.

    Returns:
        Those that were measured to the end, and a line for each other.

    Raises:
        LoadTestError, ServerStartError, SegmentationError, OSError: The first is not among them.
    """
    field = _Field(entrants)
    with ExitStack() as stack:
        servers = {
            number: field.attempt(number, partial(stack.enter_context, served(one.candidate)))
            for number, one in enumerate(entrants)
        }
        for round_number in range(ROUNDS):
            if round_number and not has_time():
                break
            for number in list(field.turns):
                server = servers[number]
                if server is not None:
                    field.take_turn(number, partial(measure, server, entrants[number]))
    return field.contestants(), field.dropped


class _Field:
    """Those that are still in a contest, and their turns so far."""

    def __init__(self, entrants: Sequence[Measured]) -> None:
        self._entrants = entrants
        self.turns: dict[int, list[LoadResult]] = {number: [] for number in range(len(entrants))}
        self.dropped: list[str] = []

    def attempt(self, number: int, step: Callable[[], _Done]) -> _Done | None:
        """Do something for one; where it fails, the contest goes on without that one."""
        try:
            return step()
        except FAILURES as error:
            if number == 0:
                raise
            del self.turns[number]
            label = self._entrants[number].candidate.label
            self.dropped.append(f"{label}, in turns: could not be measured: {error}")
            return None

    def take_turn(self, number: int, measure: Callable[[], LoadResult]) -> None:
        result = self.attempt(number, measure)
        if result is not None:
            self.turns[number].append(result)

    def contestants(self) -> list[Contestant]:
        return [
            Contestant(
                candidate=self._entrants[number].candidate,
                callers=self._entrants[number].callers or 1,
                turns=tuple(results),
            )
            for number, results in self.turns.items()
        ]


def winner(contestants: Sequence[Contestant], least_gain: float) -> Contestant:
    """Return the best that beats the first, what is served today, by enough; else the first.

    By enough is the median by such a share, and every round by something: chance is in favour of
    one in all of them less often.
    """
    first = contestants[0]
    for one in sorted(contestants[1:], key=lambda one: -one.goodput_per_s):
        rounds = zip(one.rounds_per_s, first.rounds_per_s, strict=True)
        if one.goodput_per_s > first.goodput_per_s * (1 + least_gain) and all(
            its > todays for its, todays in rounds
        ):
            return one
    return first
