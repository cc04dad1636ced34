"""How many requests are on their way, by real memory of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tritonseg_steps import tally
from tritonseg_steps.flow import LOOK_AGAIN_S, LOST_S, Flow
from tritonseg_steps.tally import Tally, pace_of, tallies, tally_name

STEPS = ("m_normalize", "m_engine", "m_argmax")


class Ensemble:
    """Three steps in this process, which its flow finds as if they were of others."""

    def __init__(self, most: int | None = None) -> None:
        self.first, self.engine, self.last = (Tally(step, "1") for step in STEPS)
        tallies_by_name = {
            tally_name(step, "1"): one.counts
            for step, one in zip(STEPS, (self.first, self.engine, self.last), strict=True)
        }
        self.flow = Flow(self.first, STEPS, "1", most=most, look=tallies_by_name.items)

    def pass_on(self, step: Tally, *, failed: int = 0) -> None:
        step.begin(1)
        step.end(failed)


@pytest.fixture
def ensemble() -> Ensemble:
    return Ensemble()


def test_a_request_is_on_its_way_until_the_last_step_answers(ensemble: Ensemble) -> None:
    for _ in range(3):
        ensemble.pass_on(ensemble.first)
    assert ensemble.flow.count() == 3
    ensemble.pass_on(ensemble.engine)
    assert ensemble.flow.count() == 3
    ensemble.pass_on(ensemble.last)
    assert ensemble.flow.count() == 2


def test_one_that_fails_is_no_longer_on_its_way(ensemble: Ensemble) -> None:
    ensemble.pass_on(ensemble.first, failed=1)
    assert ensemble.flow.count() == 0
    for _ in range(2):
        ensemble.pass_on(ensemble.first)
    ensemble.pass_on(ensemble.engine, failed=1)
    assert ensemble.flow.count() == 1
    ensemble.pass_on(ensemble.last, failed=1)
    assert ensemble.flow.count() == 0


def test_those_that_triton_gave_up_between_two_steps_are_forgotten(ensemble: Ensemble) -> None:
    ensemble.pass_on(ensemble.first)
    ensemble.engine.begin(1)
    time.sleep(1.5 * LOST_S)
    assert ensemble.flow.count() == 1, "the engine works at it"
    ensemble.engine.end(0)
    time.sleep(1.5 * LOST_S)
    assert ensemble.flow.count() == 0
    ensemble.pass_on(ensemble.first)
    assert ensemble.flow.count() == 1


def test_who_calls_the_last_step_by_itself_makes_no_room(ensemble: Ensemble) -> None:
    for _ in range(5):
        ensemble.pass_on(ensemble.last)
    assert ensemble.flow.count() == 0
    ensemble.pass_on(ensemble.first)
    assert ensemble.flow.count() == 1


def test_there_is_room_for_every_process_and_one_more(ensemble: Ensemble) -> None:
    ensemble.flow.count()
    assert ensemble.flow.most == 3
    assert Ensemble(most=7).flow.most == 7


def test_the_pace_is_that_of_the_slowest_step(ensemble: Ensemble) -> None:
    for step, turn_s in ((ensemble.first, 0.0), (ensemble.engine, 0.05), (ensemble.last, 0.01)):
        step.begin(1)
        time.sleep(turn_s)
        step.end(0)
    _, pace = ensemble.flow.ahead()
    assert 0.05 <= pace.turn_s < 0.5
    assert pace_of([ensemble.last.counts] * 2).at_once == 2
    assert pace_of([]).turn_s == 0


def test_who_waits_waits_for_those_that_the_slowest_step_has_not_answered(
    ensemble: Ensemble,
) -> None:
    ensemble.pass_on(ensemble.first)
    ensemble.engine.begin(1)
    time.sleep(0.02)
    ensemble.engine.end(0)
    ensemble.pass_on(ensemble.last)
    for _ in range(3):
        ensemble.pass_on(ensemble.first)
    ensemble.pass_on(ensemble.engine)
    assert ensemble.flow.ahead()[0] == 3, "nobody works at the first of them"
    ensemble.last.begin(1)
    assert ensemble.flow.ahead()[0] == 2
    ensemble.last.end(0)
    assert ensemble.flow.ahead()[0] == 2


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    program = (
        "import sys; from tritonseg_steps.tally import Tally\n"
        "one = Tally('m_argmax', '2'); one.begin(3); one.end(1)\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_processes_of_the_same_server_are_found_and_leave_nothing(
    other: subprocess.Popen[str],
) -> None:
    ((name, counts),) = tallies(os.getpid())
    assert name == tally_name("m_argmax", "2")
    assert (counts.done, counts.failed, counts.inside) == (3, 1, 0)
    other.kill()
    other.wait()
    assert tallies(os.getpid()) == []


def test_a_descriptor_that_cannot_be_read_hides_no_other(
    other: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = list(Path(f"/proc/{other.pid}/fd").iterdir())
    gone = Path(f"/proc/{other.pid}/fd/999999")
    monkeypatch.setattr(tally, "_open_files", lambda _server: [gone, *files, gone])
    assert [name for name, _ in tallies(os.getpid())] == [tally_name("m_argmax", "2")]


def test_a_last_step_that_is_not_found_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    first = Tally(STEPS[0], "1")
    found = {tally_name(STEPS[0], "1"): first.counts}
    flow = Flow(first, STEPS, "1", look=found.items, warn=told.append)
    now_s = time.monotonic()
    for after_s in (0, 1, LOOK_AGAIN_S / 2, LOOK_AGAIN_S + 1, 3 * LOOK_AGAIN_S):
        monkeypatch.setattr(time, "monotonic", lambda at_s=now_s + after_s: at_s)
        assert flow.count() == 0
        assert len(told) == (after_s > LOOK_AGAIN_S)
    assert told[0].startswith(tally_name("m_argmax", "1"))
