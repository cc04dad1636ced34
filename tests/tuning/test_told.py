"""What is said of a measurement that does not count, and what is advised of one that does."""

from __future__ import annotations

import csv
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from stepped_queue import Steps
from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.tuning.candidate import Candidate, Measured
from tritonseg_engines.tuning.contest import Contestant, winner
from tritonseg_engines.tuning.pictures import MOST_PICTURES, some_of
from tritonseg_engines.tuning.queue_time import Advice, advise
from tritonseg_engines.tuning.report import write_report
from tritonseg_engines.tuning.search import LEAST_GAIN
from tritonseg_engines.tuning.told import found
from tritonseg_engines.tuning.words import remarks, verdict
from tuned_builds import build
from tuned_by_formula import tuned

LATENCY_MS = 400.0


def results_of(folder: Path, **changed: object) -> tuple[Candidate, LoadResult]:
    """A build, and one caller's answers by a formula, of which something is changed."""
    candidate = Candidate.as_built(build(folder / "models"))
    result = Steps((2.0, 20.0, 60.0), LATENCY_MS).result(candidate, 1)
    return candidate, replace(result, **changed)


def silent(result: LoadResult) -> LoadResult:
    """The same without an answer, as of a model that takes longer than a measurement."""
    return replace(
        result, answered=0, within_budget=0, mean_ms=math.inf,
        percentiles_ms=dict.fromkeys(result.percentiles_ms, math.inf), is_stable=False,
        remarks=("a window had no answer",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"refused": 30}, "more than 1 of 100 requests were not answered, 30 refused"),
        ({"failed": 9}, "more than 1 of 100 requests were not answered, 9 failed"),
        ({"latency_budget_ms": 5.0}, "p99 123 ms at best, above the latency"),
    ],
)
def test_a_candidate_that_does_not_count_has_its_own_reason(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    candidate, result = results_of(tmp_path, **changed)
    assert found(Measured(candidate=candidate, by_callers={1: result})).endswith(f": {said}")


def test_a_model_too_slow_for_a_measurement_is_reported(tmp_path: Path) -> None:
    whole = tuned(tmp_path)
    nothing = [
        replace(one, by_callers={1: silent(next(iter(one.by_callers.values())))})
        for one in whole.measured
    ]
    turns = tuple(silent(one) for one in whole.default.turns)
    contestant = replace(whole.default, turns=turns)
    of = replace(whole, measured=tuple(nothing), contestants=(contestant,),
                 recommended=contestant, curves=())  # fmt: skip
    assert "nothing was answered in 10 s" in verdict(of)
    written = write_report(of, tmp_path / "out")

    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is not JSON")

    document = json.loads(written.json.read_text(), parse_constant=refuse)
    assert document["in_turns"][0]["p99_ms"] is None
    row = next(csv.DictReader(written.csv.read_text().splitlines()))
    assert (row["Inferences/Second"], row.get("p99 latency", "")) == ("0.0", "")
    assert "a window had no answer" in written.markdown.read_text()
    assert "inf" not in written.markdown.read_text()


def test_remarks_of_the_measurements_are_in_the_report(tmp_path: Path) -> None:
    whole = tuned(tmp_path)
    busy = "this machine is too busy to measure itself"
    first = replace(whole.default.turns[0], is_stable=False, remarks=(busy,))
    default = replace(whole.default, turns=(first, *whole.default.turns[1:]))
    said = list(remarks(replace(whole, contestants=(default, *whole.contestants[1:]), curves=())))
    assert f"ensemble fp32, as it is, 1 of 3 turns: {busy}." in said
    assert "There was no time for arrivals that do not wait; --max-minutes gives more." in said


def test_today_that_keeps_no_latency_is_said_so(tmp_path: Path) -> None:
    whole = tuned(tmp_path)
    late = [replace(one, percentiles_ms={**one.percentiles_ms, 99: 500.0})
            for one in whole.default.turns]  # fmt: skip
    default = replace(whole.default, turns=tuple(late))
    said = verdict(replace(whole, contestants=(default, *whole.contestants[1:])))
    assert "which today's does not keep: ensemble fp32, as it is, " in said
    assert "p99 500 ms" in said


@pytest.mark.parametrize(
    ("rounds_per_s", "wins"), [((106, 107, 108), True), ((98, 107, 120), False)]
)
def test_one_that_was_worse_in_a_round_is_not_recommended(
    tmp_path: Path, rounds_per_s: tuple[int, ...], wins: bool
) -> None:
    candidate, result = results_of(tmp_path)

    def contestant(rates: tuple[int, ...]) -> Contestant:
        turns = (replace(result, answered=10 * one, within_budget=10 * one) for one in rates)
        return Contestant(candidate=candidate, callers=1, turns=tuple(turns))

    first, other = contestant((100, 101, 102)), contestant(rounds_per_s)
    assert (winner([first, other], LEAST_GAIN) is other) == wins


class Line:
    """A line as the step keeps it: who would wait longer than it says is refused."""

    def __init__(self, result: LoadResult, turn_ms: float, refused_from: int) -> None:
        self.result, self.turn_ms, self.refused_from = result, turn_ms, refused_from
        self.asked: list[tuple[int | None, int]] = []

    def __call__(self, candidate: Candidate, callers: int) -> LoadResult:
        self.asked.append((candidate.settings.queue_ms, callers))
        p99_ms = callers * self.turn_ms
        return replace(
            self.result, percentiles_ms={**self.result.percentiles_ms, 99: p99_ms},
            refused=50 if callers >= self.refused_from else 0,
        )  # fmt: skip


def test_a_wait_is_derived_from_one_caller_whatever_the_search_began_with(tmp_path: Path) -> None:
    candidate, result = results_of(tmp_path)
    line = Line(result, 20.0, refused_from=99)
    advice = advise(Measured(candidate=candidate, by_callers={16: line(candidate, 16)}), 16,
                    LATENCY_MS, line)  # fmt: skip
    assert advice.candidate.settings.queue_ms == 380  # and not 80
    assert line.asked[1:] == [(0, 1), (380, 16)]


def test_a_wait_that_refuses_the_callers_is_not_advised(tmp_path: Path) -> None:
    candidate, result = results_of(tmp_path)
    line = Line(result, 20.0, refused_from=16)
    advice = advise(Measured(candidate=candidate, by_callers={1: line(candidate, 1)}), 16,
                    LATENCY_MS, line)  # fmt: skip
    assert advice.candidate == candidate
    assert advice.refused is not None
    assert "50 of " in advice.refused
    whole = tuned(tmp_path / "whole")
    written = write_report(replace(whole, advice=advice), tmp_path / "out")
    assert advice.refused in written.html.read_text()


def test_of_many_pictures_some_are_taken_evenly() -> None:
    pictures = [Path(f"{number}.png") for number in range(5000)]
    taken = [int(path.stem) for path in some_of(pictures)]
    assert len(taken) == MOST_PICTURES
    assert {after - before for before, after in itertools.pairwise(taken)} <= {312, 313}
    assert some_of(pictures[:3]) == tuple(pictures[:3])


def test_times_that_triton_does_not_tell_apart_are_no_queue(tmp_path: Path) -> None:
    whole = tuned(tmp_path)
    single = Candidate.as_built(build(tmp_path / "single", layout="single"))
    alone = Contestant(candidate=single, callers=1, turns=whole.default.turns)
    of = replace(
        whole,
        contestants=(alone,),
        recommended=alone,
        curves=(),
        advice=Advice(candidate=single),
        measured=(Measured(candidate=single, by_callers={1: alone.turns[0]}),),
    )
    written = write_report(of, tmp_path / "out")
    for path in (written.html, written.markdown):
        assert "keeps its own line, so Triton does not count" in path.read_text()
        assert "queue, ms" not in path.read_text()
