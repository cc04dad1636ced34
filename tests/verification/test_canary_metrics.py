"""What Prometheus can see of canaries, above all of a server that is about to be ended by them."""

from __future__ import annotations

import re
import socket
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from served_by_command import ServedByCommand
from tritonseg_engines.cli.app import cli
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.serving.foreground import MASKS_CHANGED
from tritonseg_engines.serving.health import health
from tritonseg_engines.verification import asking, metrics
from tritonseg_engines.verification.metrics import metrics_text
from tritonseg_engines.verification.watch import Watch

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("installation")]

BETA = 'model="beta",version="1"'


def read(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=5) as response:
        return samples(response.read().decode())


def samples(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if line[0] != "#")
    return {name: float(value) for name, _, value in lines}


def test_masks_that_changed_are_seen_by_who_looks_before_the_process_ends(
    good: Path, tmp_path: Path
) -> None:
    file, log = tmp_path / "wrong", tmp_path / "log"
    options = ("beta", "--verify-every=0.5")
    with ServedByCommand(good, log, *options, wrong_once=file) as served:
        url = served.addresses["canaries"]
        before = read(url)
        assert before[f"tritonseg_canaries_right{{{BETA}}}"] == 1
        assert before["tritonseg_canary_round_interval_seconds"] == 0.5
        file.touch()
        deadline = time.monotonic() + 20
        while health(served.addresses["gRPC"], timeout_s=1) == "SERVING":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(3)  # long after Triton's end
        assert served.process.poll() is None
        after = read(url)
        code = served.process.wait(10)
    (line,) = [one for one in log.read_text().splitlines() if "is ended" in one]
    assert after[f"tritonseg_canaries_right{{{BETA}}}"] == 0
    assert after[f'tritonseg_canary_rounds_total{{{BETA},outcome="wrong"}}'] == 1
    right_at_s = f"tritonseg_canaries_right_timestamp_seconds{{{BETA}}}"
    assert 0 < after["tritonseg_canary_round_timestamp_seconds"] - after[right_at_s] < 20
    shares = [value for name, value in after.items() if "equal_pixels" in name]
    assert min(shares) < 0.999
    assert code == MASKS_CHANGED
    assert "beta: canary " in line


def test_nobody_is_waited_for_where_nobody_looks(good: Path, tmp_path: Path) -> None:
    file = tmp_path / "wrong"
    options = ("beta", "--verify-every=0.5")
    with ServedByCommand(good, tmp_path / "log", *options, wrong_once=file) as served:
        file.touch()
        assert served.process.wait(metrics.LONGEST_WAIT_S / 2) == MASKS_CHANGED


def test_the_wait_for_a_last_look_has_an_end(good: Path) -> None:
    watch = Watch([good], ["beta"])
    served = metrics.CanaryMetrics(watch, 300, host="127.0.0.1", port=0)
    read(served.url)
    watch.asked_at_s = 1.0
    took_s, deadline_s = 0.0, time.monotonic() + 10
    while took_s < 0.4:  # it counts as read a moment after the reader has it
        began_s = time.monotonic()
        assert began_s < deadline_s
        served.wait_until_read(0.5)
        took_s = time.monotonic() - began_s
    assert took_s < 5


def test_a_port_that_is_taken_is_told_before_anything_starts(good: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = CliRunner().invoke(
            cli, ["serve", f"--repository={good}", f"--verify-metrics-port={port}"]
        )
    assert outcome.exit_code == 1
    (line,) = outcome.output.splitlines()
    assert f"cannot listen on port {port} of 127.0.0.1 for the canaries' metrics" in line


def test_a_model_that_does_not_answer_has_not_given_other_masks(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ANSWER_TIMEOUT_S", 1.0)
    watch = Watch([good], ["beta"])
    with TritonServer(ServerConfig(repositories=(good,), models=("beta",))) as server:
        watch.ask(server.grpc_url)
        right = samples(metrics_text(watch, 0))
        (stub,) = psutil.Process(server.pid).children()
        stub.suspend()
        try:
            watch.ask(server.grpc_url)
        finally:
            stub.resume()
    silent = samples(metrics_text(watch, 0))
    rounds = {name: value for name, value in silent.items() if "rounds_total" in name}
    assert {re.findall(r'outcome="(\w+)"', name)[0]: value for name, value in rounds.items()} == {
        "right": 1, "wrong": 0, "busy": 0, "unanswered": 1
    }  # fmt: skip
    changed = {name for name in right if right[name] != silent[name]}
    assert changed == {
        "tritonseg_canary_round_timestamp_seconds",
        f'tritonseg_canary_rounds_total{{{BETA},outcome="unanswered"}}',
    }
