"""The built-in loader against a real server whose time for a picture is known."""

from __future__ import annotations

import math
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from load_test_models import CAPACITY_PER_S, SERVICE_MS, write_models
from tritonseg import ImageDecodeError
from tritonseg_engines.errors import LoadTestError
from tritonseg_engines.load_test import ClosedLoop, LoadResult, LoadTarget, OpenLoop, Window
from tritonseg_engines.load_test.built_in import BuiltInLoader
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.tuning.climb import is_in_time

BUDGET_MS = 200.0
WINDOW = Window(warm_up_s=0.5, window_s=1.0, most_s=4.0)
Target = Callable[[str], LoadTarget]


def measure(target: LoadTarget, load: ClosedLoop | OpenLoop, window: Window = WINDOW) -> LoadResult:
    result = BuiltInLoader(seed=3).measure(target, load, latency_budget_ms=BUDGET_MS, window=window)
    assert result.measured_by == "built-in"
    assert result.load == load
    return result


@pytest.mark.parametrize("callers", [1, 4])
def test_a_closed_loop_keeps_littles_law(target: Target, callers: int) -> None:
    result = measure(target("slow"), ClosedLoop(callers=callers))
    in_flight = result.answered_per_s * result.mean_ms / 1000
    assert in_flight == pytest.approx(callers, rel=0.15)
    assert result.percentiles_ms[50] >= callers * SERVICE_MS
    assert result.answered_per_s <= CAPACITY_PER_S
    assert result.failed == result.refused == 0


def test_triton_counts_the_same(target: Target) -> None:
    result = measure(target("slow"), ClosedLoop(callers=2))
    (step,) = result.steps
    assert step.model == "slow"
    assert step.pictures == step.executions == pytest.approx(result.answered, abs=4)
    assert step.infer_ms == pytest.approx(SERVICE_MS, rel=0.2)
    assert step.queue_ms + step.infer_ms <= result.mean_ms


def test_an_open_loop_below_capacity(target: Target) -> None:
    result = measure(target("slow"), OpenLoop(arrivals_per_s=CAPACITY_PER_S / 2))
    expected = result.duration_s * CAPACITY_PER_S / 2
    assert result.sent == pytest.approx(expected, abs=4 * math.sqrt(expected))
    assert result.answered == pytest.approx(result.sent, abs=10)
    assert SERVICE_MS <= result.percentiles_ms[50] < 4 * SERVICE_MS
    assert result.goodput_per_s > 0.9 * result.answered_per_s


def test_overload_without_a_limit_is_neither_hidden_nor_called_stable(target: Target) -> None:
    arrivals_per_s = 2 * CAPACITY_PER_S
    result = measure(target("slow"), OpenLoop(arrivals_per_s=arrivals_per_s))
    expected = result.duration_s * arrivals_per_s
    assert result.sent == pytest.approx(expected, abs=4 * math.sqrt(expected))  # none left out
    assert result.answered_per_s <= CAPACITY_PER_S
    assert result.percentiles_ms[50] > 500  # half of the arrivals of seconds wait
    assert result.goodput_per_s < 0.2 * CAPACITY_PER_S
    assert not result.is_stable
    assert "more than 10% apart" in result.remarks[0]


def test_refusals_are_counted_apart(target: Target) -> None:
    """The model refuses every second request, the one of every picture's trial among them."""
    result = measure(target("refusing"), OpenLoop(arrivals_per_s=CAPACITY_PER_S))
    assert result.failed == 0
    assert result.refused == pytest.approx(result.sent / 2, abs=5)
    assert result.answered == pytest.approx(result.sent / 2, abs=5)
    assert result.percentiles_ms[50] < 4 * SERVICE_MS


def test_a_caller_who_is_never_answered_is_counted(target: Target) -> None:
    result = measure(target("losing"), ClosedLoop(callers=4))
    assert result.answered > 50
    assert result.percentiles_ms[99] < BUDGET_MS
    waited_s = re.search(r"1 of 4 callers had waited longer than 200 ms, (.*) s at most",
                         result.remarks[-1])  # fmt: skip
    assert waited_s is not None
    assert result.failed == pytest.approx(1000 * float(waited_s[1]) / BUDGET_MS, abs=2)
    assert not result.is_stable
    assert not is_in_time(result)


def test_a_frozen_server_makes_all_late_that_were_due_meanwhile(target: Target) -> None:
    """One freeze of 0.6 s in 40 pictures: a loader that waits for answers sees one late answer."""
    window = Window(warm_up_s=0.5, window_s=2.0, most_s=7.0)
    result = measure(target("freezing"), OpenLoop(arrivals_per_s=CAPACITY_PER_S / 2), window)
    late = result.answered - result.within_budget
    assert late > 0.1 * result.answered
    assert result.percentiles_ms[90] > BUDGET_MS
    callers = measure(target("freezing"), ClosedLoop(callers=1), window)
    assert callers.answered - callers.within_budget < 0.06 * callers.answered


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("cropping", r"expected CLASS_MAP of \[1, 6, 8\] for .*street.png, got \[1, 5, 8\]"),
        ("nobody", "the server has no such model"),
    ],
)
def test_a_server_that_does_not_answer_the_pictures(target: Target, model: str, words: str) -> None:
    with pytest.raises(LoadTestError, match=words):
        measure(target(model), ClosedLoop(callers=1))


def test_masks_that_go_wrong_under_load_are_no_answers(target: Target) -> None:
    result = measure(target("cropping_later"), ClosedLoop(callers=1))
    assert result.answered == result.within_budget == 0
    assert result.failed > 20
    assert result.p99_ms == math.inf
    assert not result.is_stable
    assert re.search(r"requests failed, the first so: expected CLASS_MAP", str(result.remarks))


def test_a_picture_that_a_client_refuses(target: Target, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    url = target("slow").url
    with pytest.raises(ImageDecodeError):
        measure(LoadTarget(url=url, model="slow", pictures=(broken,)), ClosedLoop(callers=1))


def test_no_server(picture: Path) -> None:
    nobody = LoadTarget(url="127.0.0.1:9", model="slow", pictures=(picture,))
    with pytest.raises(LoadTestError, match="no connection"):
        measure(nobody, ClosedLoop(callers=1))


def test_a_server_that_ends_is_no_refusal(tmp_path: Path, picture: Path) -> None:
    repository = write_models(tmp_path / "models")
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        ending = threading.Timer(4.0, server.stop)
        ending.start()
        window = Window(warm_up_s=0.5, window_s=4.0, windows=2, most_s=9.0)
        slow = LoadTarget(url=server.grpc_url, model="slow", pictures=(picture,))
        result = measure(slow, OpenLoop(arrivals_per_s=20), window)
        ending.join()
    assert result.answered > 0
    assert result.refused == 0
    assert result.failed > 10
    assert not result.is_stable


ENDLESS = """
from pathlib import Path
from tritonseg_engines.load_test import *
window = Window(most_s=120, window_s=100, windows=1)
target = LoadTarget(url={url!r}, model="slow", pictures=(Path({picture!r}),))
find_load_tester("built-in")[0].measure(
    target, ClosedLoop(callers=1), latency_budget_ms=100, window=window)
"""


def test_ctrl_c_leaves_no_process(target: Target, picture: Path) -> None:
    script = ENDLESS.format(url=target("slow").url, picture=str(picture))
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not (children := psutil.Process(process.pid).children()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert b"KeyboardInterrupt" in errors
    psutil.wait_procs(children, timeout=5)
    assert not any(child.is_running() for child in children)
