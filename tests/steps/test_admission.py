"""Who is let into a line: together once, and soon while there is overload."""

from __future__ import annotations

import json
import random
import re
import statistics

import pytest

from tritonseg_steps.admission import CALM_BURSTS, CALM_S, LEAST_BURST, Admission, Pace
from tritonseg_steps.contract import CONTRACT_PARAMETER, CONTRACT_VERSION
from tritonseg_steps.model_config import ModelConfig

TURN_S = 0.4
PACE = Pace(turn_s=TURN_S, left_s=TURN_S)


class Clock:
    """Seconds as a test sets them."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def together(admission: Admission, pace: Pace) -> int:
    """Return how many of those who come at once are let in."""
    inside = 0
    while admission.admits(inside, pace):
        inside += 1
    return inside


@pytest.mark.parametrize(
    ("text", "said"),
    [("abc", "tiny: config.pbtxt: tritonseg_queue: expected a JSON value, got 'abc'"),
     ("0", "tritonseg_queue: expected an integer above 0, got 0"),
     ("1e9", "tritonseg_queue: expected an integer above 0, got 1000000000.0")],
)  # fmt: skip
def test_a_limit_that_is_none_is_named(text: str, said: str) -> None:
    parameters = {
        CONTRACT_PARAMETER: {"string_value": json.dumps(CONTRACT_VERSION)},
        "tritonseg_queue": {"string_value": text},
    }
    config = ModelConfig({
        "model_config": json.dumps({"name": "tiny", "parameters": parameters}),
        "model_version": "1", "model_repository": "models", "model_instance_kind": "CPU",
    })  # fmt: skip
    with pytest.raises((RuntimeError, ValueError), match=re.escape(said)):
        config.admission  # noqa: B018 - it is read


@pytest.mark.parametrize(
    ("most", "time_s", "turn_s", "let_in"),
    [
        (64, None, 10.0, 65),
        (64, 1.0, 0.0, 65),  # before anything is known
        (64, 1.0, 0.001, 65),
        (64, 1.0, 0.05, 21),
        (64, 1.0, 10.0, LEAST_BURST + 1),
        (2, 1.0, 0.001, 3),
    ],
)
def test_a_burst_is_let_in_as_far_as_count_and_time_allow(
    most: int, time_s: float | None, turn_s: float, let_in: int
) -> None:
    assert together(Admission(most, time_s), Pace(turn_s=turn_s)) == let_in


def test_several_at_once_let_more_in() -> None:
    pace = Pace(turn_s=0.4, at_once=4)
    assert together(Admission(64, 1.0), pace) == 4 + 10


def test_an_overload_begins_with_a_refusal_and_ends_with_calm() -> None:
    clock = Clock()
    admission = Admission(64, 1.0, clock)
    assert together(admission, PACE) == LEAST_BURST + 1
    assert together(admission, PACE) == 2
    assert together(admission, Pace(turn_s=TURN_S, left_s=0.6 * TURN_S)) == 2
    assert together(admission, Pace(turn_s=TURN_S, left_s=0.4 * TURN_S)) == 3
    calm_s = max(CALM_S, CALM_BURSTS * LEAST_BURST * TURN_S)
    clock.now_s += calm_s - 0.01
    assert not admission.admits(5, PACE)
    clock.now_s += calm_s + 0.01
    assert admission.admits(5, PACE)


def test_without_a_time_the_line_is_never_short() -> None:
    admission = Admission(64, None)
    assert together(admission, PACE) == 65
    assert together(admission, PACE) == 65


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("load", [1.2, 2.0, 5.0])
def test_what_comes_too_often_is_answered_soon_and_leaves_nobody_idle(
    load: float, at_once: int
) -> None:
    """A queue simulated by itself: random arrivals, a fixed time for each, `at_once` servers."""
    chance, clock = random.Random(1), Clock()
    admission = Admission(64, 1.0, clock)
    ends_s: list[float] = []
    waits_s: list[float] = []
    begun_s = clock.now_s
    free_s = [begun_s] * at_once
    while clock.now_s < begun_s + 4000 * TURN_S:
        clock.now_s += chance.expovariate(load * at_once / TURN_S)
        inside = [end_s for end_s in ends_s[-200:] if end_s > clock.now_s]
        left_s = min(inside, default=clock.now_s) - clock.now_s
        pace = Pace(turn_s=TURN_S, left_s=left_s, at_once=at_once)
        if admission.admits(len(inside), pace):
            free_s.sort()
            free_s[0] = max(clock.now_s, free_s[0]) + TURN_S
            ends_s.append(free_s[0])
            waits_s.append(free_s[0] - clock.now_s)
    if load >= 2:
        assert statistics.quantiles(waits_s, n=100)[-1] <= 3 * TURN_S
    else:  # a little too much often goes without a refusal for a while, and the line is long then
        assert max(waits_s) <= (LEAST_BURST + 2) * TURN_S
    rate_per_s = len(waits_s) / (clock.now_s - begun_s)
    capacity_per_s = at_once / TURN_S
    assert rate_per_s >= (0.8 if load < 2 else 0.93) * capacity_per_s
