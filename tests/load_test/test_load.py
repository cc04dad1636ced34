"""What a load test may be told, and the rules by which it counts: nothing here needs a server."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonseg_engines.errors import EngineBuildError, LoadTestError
from tritonseg_engines.load_test import (
    ClosedLoop,
    LoadResult,
    LoadTarget,
    OpenLoop,
    StepTimes,
    Window,
)
from tritonseg_engines.load_test.outcomes import difference, percentile_ms
from tritonseg_engines.load_test.plan import (
    Plan,
    read_plan,
    result_from_line,
    result_line,
    write_plan,
)
from tritonseg_engines.load_test.requests import PreparedRequest

STEP = StepTimes(
    model="m", executions=3, pictures=6, queue_ms=1.5, input_ms=0.25, infer_ms=20, output_ms=0.5
)
RESULT = LoadResult(
    load=OpenLoop(arrivals_per_s=12.5),
    latency_budget_ms=100,
    duration_s=4,
    sent=50,
    answered=40,
    within_budget=30,
    refused=6,
    failed=4,
    mean_ms=31.25,
    percentiles_ms={50: 30.0, 90: 60.0, 95: 70.0, 99: 80.0004},
    steps=(STEP,),
    is_stable=False,
    measured_by="built-in",
    remarks=("4 of 50 requests failed",),
)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ClosedLoop(callers=0), "callers: expected 1 or more, got 0"),
        (lambda: OpenLoop(arrivals_per_s=0), "expected more than 0, got 0"),
        (lambda: OpenLoop(arrivals_per_s=math.nan), "got nan"),
        (lambda: OpenLoop(arrivals_per_s=math.inf), "got inf"),
        (lambda: LoadTarget(url="u", model="m", pictures=()), "pictures: expected one or more"),
        (lambda: Window(window_s=0), "expected 0.1 or more"),
        (lambda: Window(warm_up_s=-1), "got 2 and -1"),
        (lambda: Window(windows=0), "expected 1 or more"),
        (lambda: Window(spread=math.nan), "and nan"),
        (lambda: Window(most_s=6), "most_s: expected 7 or more, .* got 6"),
    ],
)
def test_what_cannot_be_measured(make: Callable[[], object], words: str) -> None:
    with pytest.raises(LoadTestError, match=words):
        make()
    assert issubclass(LoadTestError, EngineBuildError)


@given(st.lists(st.floats(0.1, 1e4), min_size=1), st.sampled_from([50, 90, 95, 99]))
def test_percentiles_are_numpys(values_ms: list[float], rank: int) -> None:
    expected = np.percentile(values_ms, rank, method="inverted_cdf")
    assert percentile_ms(sorted(values_ms), rank) == expected


def test_without_an_answer_no_latency_is_within_any_budget() -> None:
    assert percentile_ms([], 50) == math.inf


@pytest.mark.parametrize(
    ("rates_per_s", "means_ms", "differ"),
    [
        ([100, 105, 110], [10, 10.5, 11], False),
        ([100, 105, 110.1], [10, 10, 10], True),
        ([100, 100, 100], [10, 10, 11.1], True),
        ([110.1, 105, 100], [10, 10, 10], True),
    ],
)
def test_windows_agree_or_not(
    rates_per_s: list[float], means_ms: list[float], differ: bool
) -> None:
    assert (difference(rates_per_s, means_ms, spread=0.1) is not None) is differ


def test_what_is_read_off_a_result() -> None:
    assert RESULT.answered_per_s == 10
    assert RESULT.goodput_per_s == 7.5
    assert RESULT.p99_ms == 80.0004
    assert dict(RESULT.perf_columns()) == {
        "Request Rate": 12.5,
        "Inferences/Second": 10,
        "Server Queue": 1500,
        "Server Compute Input": 250,
        "Server Compute Infer": 20000,
        "Server Compute Output": 500,
        "p50 latency": 30000,
        "p90 latency": 60000,
        "p95 latency": 70000,
        "p99 latency": 80000,
        "Avg latency": 31250,
    }


def test_a_result_comes_back_from_its_process() -> None:
    assert result_from_line(result_line(RESULT), RESULT.load) == RESULT


@pytest.mark.parametrize("load", [ClosedLoop(callers=3), OpenLoop(arrivals_per_s=0.5)])
def test_a_plan_reaches_its_process(load: ClosedLoop | OpenLoop) -> None:
    plan = Plan(
        url="localhost:1",
        model="m",
        load=load,
        latency_budget_ms=12.5,
        window=Window(spread=0.2),
        deadline_s=3,
        seed=9,
    )
    requests = [
        PreparedRequest(name="a\nb.png", size_hw=(2, 3), message=b"\n\x00{}"),
        PreparedRequest(name="c.png", size_hw=(4, 5), message=b"\n"),
    ]
    stream = io.BytesIO()
    write_plan(plan, requests, stream)
    stream.seek(0)
    assert read_plan(stream) == (plan, requests)
    assert stream.read() == b""
