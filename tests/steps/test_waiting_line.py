"""The line in which requests wait: its order, its limit, its end."""

from __future__ import annotations

import threading

import pytest

from tritonseg_steps.waiting_line import WaitingLine


@pytest.fixture
def begun() -> list[str]:
    return []


@pytest.fixture
def line(begun: list[str]) -> WaitingLine:
    return WaitingLine(
        lambda inside: inside < 3, lambda: begun.append(threading.current_thread().name)
    )


def test_so_many_wait_and_no_more(line: WaitingLine) -> None:
    go_on, done = threading.Event(), []

    def job(number: int) -> None:
        go_on.wait()
        done.append(number)

    assert line.is_empty
    assert [line.enter(lambda n=number: job(n)) for number in range(5)] == [True] * 3 + [False] * 2
    assert not line.is_empty
    go_on.set()
    line.close()
    assert done == [0, 1, 2]


def test_a_place_is_free_again(line: WaitingLine) -> None:
    for _ in range(50):
        finished = threading.Event()
        while not line.enter(finished.set):
            pass
        assert finished.wait(5)
    line.close()
    assert line.is_empty


def test_all_are_done_by_one_thread_that_began_as_told(line: WaitingLine, begun: list[str]) -> None:
    names: list[str] = []
    for _ in range(3):
        assert line.enter(lambda: names.append(threading.current_thread().name))
    line.close()
    assert names == begun * 3
    assert begun[0] != threading.current_thread().name
