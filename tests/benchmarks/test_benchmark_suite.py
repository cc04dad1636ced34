"""The suite's own arithmetic: rates against servers of known speed, tables against the page."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"

ECHO_PEER = """
import numpy as np
from worker import answer_commands, parse_job

print("what a library prints")
job, _ = parse_job()
answer_commands(job, lambda image_hwc: image_hwc[:, :, 0])
"""


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module("pace")


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module("results")


@pytest.fixture
def throughput(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module("throughput")


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module("peers")


def test_steady_rate_of_even_answers(pace: ModuleType) -> None:
    ends = [0.25 * index for index in range(24)]
    assert pace.steady_rate(ends, 4) == pytest.approx(4.0)


def test_filling_and_draining_do_not_count(pace: ModuleType) -> None:
    """The first and the last answers of four callers, far away from the others."""
    steady = [100 + 0.5 * index for index in range(20)]
    ends = [0.0, 1.0, 2.0, *steady, 200.0, 300.0, 400.0]
    assert pace.steady_rate(ends, 4) == pytest.approx(2.0)


def test_bursts_of_a_batching_server_give_its_rate(pace: ModuleType) -> None:
    """Four answers a second, all four at once: what is counted must not depend on the cut."""
    ends = [float(burst) for burst in range(30) for _ in range(4)]
    found = [pace.steady_rate(ends[first:], 1) for first in range(4)]
    assert found == pytest.approx([4.0] * 4, rel=0.02)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_closed_loop_finds_the_rate_of_a_server_that_takes_one_at_a_time(
    pace: ModuleType, concurrency: int
) -> None:
    busy = threading.Lock()

    def answer() -> None:
        with busy:
            time.sleep(0.02)

    rate = pace.closed_loop_rate(answer, concurrency=concurrency, loop_s=0.6)
    assert 10 < rate < 55


def test_closed_loop_goes_on_until_there_is_something_to_count(pace: ModuleType) -> None:
    rate = pace.closed_loop_rate(lambda: time.sleep(0.05), concurrency=2, loop_s=0.0)
    assert 3 < rate < 60


def test_contenders_take_turns_and_warming_up_does_not_count(pace: ModuleType) -> None:
    called: list[str] = []
    calls = {"a": lambda: called.append("a"), "b": lambda: called.append("b")}
    counts = pace.Pace(warm_up=2, rounds=3, loop_rounds=1, loop_s=1)
    times_ms = pace.latencies_ms(calls, counts)
    assert called == ["a", "b"] * 5
    assert {name: len(values) for name, values in times_ms.items()} == {"a": 3, "b": 3}


def test_rates_are_medians_by_concurrency(pace: ModuleType) -> None:
    values = itertools.cycle([1.0, 9.0, 2.0])
    found = pace.rates({"a": lambda concurrency: concurrency * next(values)}, [10], 3)
    assert found == {"a": {10: 20.0}}


def test_only_the_named_table_is_replaced(results: ModuleType) -> None:
    page = "x <!-- bench:a:begin -->\nold\n<!-- bench:a:end --> y\n<!-- bench:b:begin -->b"
    replaced = results.replace_between_markers(page, "a", "new\n")
    assert replaced == page.replace("old", "new")


@pytest.mark.parametrize(
    "page",
    ["", "<!-- bench:a:begin -->", "<!-- bench:a:end --><!-- bench:a:begin -->",
     "<!-- bench:a:begin --><!-- bench:a:end --><!-- bench:a:begin --><!-- bench:a:end -->"],
)  # fmt: skip
def test_a_page_without_its_place_is_refused(results: ModuleType, page: str) -> None:
    with pytest.raises(results.MarkerError, match="expected one <!-- bench:a:begin -->"):
        results.replace_between_markers(page, "a", "new")


@pytest.mark.parametrize(
    "part", ["latency", "throughput", "peers", "scaling", "overload", "soak-overload"]
)
def test_the_page_has_a_place_for_every_part(results: ModuleType, part: str) -> None:
    assert "a new table" in results.replace_between_markers(PAGE.read_text(), part, "a new table")


@pytest.mark.parametrize("quick", [True, False])
def test_only_whole_runs_reach_the_page(
    results: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick: bool
) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n<!-- bench:a:begin -->\nold\n<!-- bench:a:end -->\n")
    monkeypatch.setattr(results, "PAGE", page)
    monkeypatch.setattr(results, "FOLDER", tmp_path / "out")
    machine = importlib.import_module("machine").describe_machine()
    results.publish("a", {"machine": machine, "figure": 4}, "| new |", quick=quick)
    assert ("| new |" in page.read_text(), "old" in page.read_text()) == (not quick, quick)
    (written,) = (tmp_path / "out").iterdir()
    assert json.loads(written.read_text())["figure"] == 4
    assert machine["cpu"].startswith(f"{len(os.sched_getaffinity(0))} cores of ")


def test_tables_are_aligned_and_have_a_rule(results: ModuleType) -> None:
    table = results.markdown_table(["", "one"], [["engine", "1.5 ms"], ["all", "12.5 ms"]])
    assert table.splitlines() == [
        "|        |     one |",
        "| ------ | ------: |",
        "| engine |  1.5 ms |",
        "| all    | 12.5 ms |",
    ]


def test_throughput_is_held_against_the_engines_better_hint(throughput: ModuleType) -> None:
    saturated = {"engine alone, LATENCY": 2.0, "engine alone, THROUGHPUT": 4.0, "ensemble": 3.0}
    one = {
        "saturated": saturated,
        "pictures_per_s": {"ensemble": {4: 2.0, 8: 3.0}},
        "engine_compute_ms": 100.0,
        "queue_ms": {"normalize": 3.0, "engine": 500.0, "argmax": 2.0},
        "loop_rounds": 1,
        "loop_s": 2,
    }
    rows = dict(
        [cell.strip(" *") for cell in line.strip("|").split("|")]
        for line in throughput.table({"model": one}).splitlines()
    )
    assert rows["ensemble / engine alone"] == "0.750"
    assert rows["ensemble: 8 callers against 4"] == "+50.0%, still rising"
    assert rows["waiting for both steps / engine's compute"] == "5.0%"
    assert rows["waiting for both steps / time between pictures"] == "1.5%"


def test_a_peer_answers_through_its_pipe(peers: ModuleType, tmp_path: Path) -> None:
    """The protocol with a real process, whatever else that prints."""
    image_hwc = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    np.save(tmp_path / "image.npy", image_hwc)
    script = tmp_path / "echo_peer.py"
    script.write_text(ECHO_PEER)
    image = tmp_path / "image.npy"
    with peers.started_peer(sys.executable, script, tmp_path / "model.onnx", image) as peer:
        class_map = peer.class_map(tmp_path / "mask.npy")
        assert 0 < peer.segment_ms() < 10_000
        assert peer.rate(2, 0.1) > 0
    np.testing.assert_array_equal(class_map, image_hwc[:, :, 0])


def test_a_peer_that_dies_is_reported_with_what_it_wrote(peers: ModuleType, tmp_path: Path) -> None:
    script = tmp_path / "dying_peer.py"
    script.write_text("raise SystemExit('no such device')")
    image, onnx = tmp_path / "image.npy", tmp_path / "model.onnx"
    with (
        pytest.raises(RuntimeError, match=r"dying_peer ended without an answer.*\nno such device"),
        peers.started_peer(sys.executable, script, onnx, image) as peer,
    ):
        peer.segment_ms()
