"""The search against a formula for steps in a row, whose best configuration brute force knows."""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepped_queue import P99_OF_MEAN, STEPS, Steps, mean_value_analysis
from tritonseg_engines.tuning.bottleneck import bottleneck, step_loads
from tritonseg_engines.tuning.candidate import Candidate, Measured
from tritonseg_engines.tuning.frontier import points
from tritonseg_engines.tuning.search import search
from tritonseg_engines.tuning.settings import Settings
from tritonseg_engines.tuning.variant import Variant
from tuned_builds import build

CORES = 4


@pytest.fixture(scope="module")
def variant(tmp_path_factory: pytest.TempPathFactory) -> Variant:
    return build(tmp_path_factory.mktemp("tuned") / "models")


def brute_force(steps: Steps, variant: Variant) -> float:
    """Return the most goodput of every configuration at every number of callers."""
    return max(
        steps.result(candidate, callers).goodput_per_s
        for candidate in every_configuration(variant)
        for callers in (1, 2, 4, 8, 16, 32)
    )


def every_configuration(variant: Variant) -> Iterator[Candidate]:
    for counts in itertools.product(range(1, CORES + 1), repeat=3):
        settings = replace(variant.settings, **dict(zip(STEPS, counts, strict=True)))
        yield Candidate(variant=variant, settings=settings)


def test_it_finds_what_brute_force_finds(variant: Variant) -> None:
    chance = random.Random(17)
    shares, servers = [], []
    for _ in range(100):
        service_ms = tuple(chance.uniform(1, 100) for _ in STEPS)
        steps = Steps(service_ms, chance.uniform(2.1, 20) * sum(service_ms))
        found = search(
            [Candidate.as_built(variant)], steps.measure, cores=CORES, has_time=lambda: True
        )
        best = max(one.goodput_per_s for one in found)
        shares.append(best / brute_force(steps, variant))
        servers.append(steps.servers_tried)
    # A change that brings less than 3 % is not gone on from.
    assert min(shares) >= 0.95
    assert statistics.median(shares) >= 0.99
    assert statistics.median(servers) <= 20  # of 64


def test_the_bottleneck_is_tried_first(variant: Variant) -> None:
    steps = Steps((1.0, 10.0, 40.0), 1000.0)
    found = search([Candidate.as_built(variant)], steps.measure, cores=CORES, has_time=lambda: True)
    assert found[1].candidate.settings == replace(variant.settings, argmax_instances=2)


def test_no_time_left_still_measures_every_build(variant: Variant) -> None:
    steps = Steps((1.0, 10.0, 40.0), 1000.0)
    found = search(
        [Candidate.as_built(variant)] * 2, steps.measure, cores=CORES, has_time=lambda: False
    )
    assert [one.candidate for one in found] == [Candidate.as_built(variant)] * 2


def test_nothing_is_tried_where_today_cannot_be_measured(variant: Variant) -> None:
    def fail(candidate: Candidate, _callers: int) -> Measured:
        return Measured(candidate=candidate, by_callers={}, failure="no space left")

    defaults = [Candidate.as_built(variant)]
    assert len(search(defaults, fail, cores=CORES, has_time=lambda: True)) == 1


def test_nothing_is_measured_twice(variant: Variant) -> None:
    steps = Steps((5.0, 10.0, 5.0), 1000.0)
    found = search([Candidate.as_built(variant)], steps.measure, cores=CORES, has_time=lambda: True)
    settings = [one.candidate.settings for one in found]
    assert len(settings) == len(set(settings))


@given(service_ms=st.tuples(*[st.floats(1, 100)] * 3), latency_ms=st.floats(10, 5000),
       first=st.integers(1, 32))  # fmt: skip
def test_callers_climb_to_the_most_within_the_latency(
    variant: Variant, service_ms: tuple[float, ...], latency_ms: float, first: int
) -> None:
    steps = Steps(service_ms, latency_ms)
    candidate = Candidate.as_built(variant)
    measured = steps.measure(candidate, first)
    assert list(measured.by_callers) == sorted(measured.by_callers)
    fitting = [
        steps.result(candidate, at).goodput_per_s
        for at in measured.by_callers
        if P99_OF_MEAN * steps.result(candidate, at).mean_ms <= latency_ms
    ]
    assert measured.goodput_per_s == max(fitting, default=0.0)
    if not fitting:
        assert 1 in measured.by_callers  # fewer there are not


def test_the_busiest_step_is_the_bottleneck(variant: Variant) -> None:
    steps = Steps((2.0, 30.0, 10.0), 1000.0)
    candidate = Candidate.as_built(variant)
    loads = step_loads(candidate, steps.result(candidate, 8))
    assert bottleneck(loads).setting == "engine_instances"
    # By Little's law, each is as busy as throughput times its service.
    per_s, _, _ = mean_value_analysis(steps.service_ms, (1, 1, 1), 8)
    for load, service_ms in zip(loads, steps.service_ms, strict=True):
        assert load.busy == pytest.approx(per_s * service_ms / 1000, rel=0.05)


def test_the_frontier_is_what_nothing_beats(tmp_path: Path) -> None:
    exact = build(tmp_path / "fp32", equal_pixels=1.0)
    fast = build(tmp_path / "int8", precision="int8", equal_pixels=0.98)
    slow = build(tmp_path / "fp16", precision="fp16", equal_pixels=0.97)
    measured = [
        Steps((1.0, engine_ms, 1.0), 1000.0).measure(Candidate.as_built(one), 1)
        for one, engine_ms in ((exact, 40.0), (fast, 10.0), (slow, 20.0))
    ]
    found = {point.label: point.on_frontier for point in points(measured)}
    assert found == {
        "ensemble int8, as it is": True,
        "ensemble fp16, as it is": False,  # int8 is faster and more accurate
        "ensemble fp32, as it is": True,
    }


def test_settings_are_described_by_what_changed() -> None:
    built = Settings(engine_instances=1, argmax_instances=1)
    assert built.described(built) == "as it is"
    changed = replace(built, engine_instances=2, argmax_instances=3)
    assert changed.described(built) == "engines 2, argmax processes 3"
