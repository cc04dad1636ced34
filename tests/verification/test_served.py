"""Real servers: what they give is what was built, or they never become ready."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
from click.testing import CliRunner

from forged_repositories import age, copied, forge
from repository_mutations import LAYOUTS
from tritonseg import SegmentationClient
from tritonseg_engines.cli.app import cli
from tritonseg_engines.errors import ServerStartError, VerificationError
from tritonseg_engines.serving import (
    ServerConfig,
    TritonServer,
    run_until_signal,
)
from tritonseg_engines.serving._keeper import STUB_LOST
from tritonseg_engines.serving.foreground import MASKS_CHANGED
from tritonseg_engines.serving.health import health
from tritonseg_engines.verification import asking
from tritonseg_engines.verification.asking import ask_canaries
from tritonseg_engines.verification.files import check_files
from tritonseg_engines.verification.verify import verify_server
from tritonseg_engines.verification.watch import Repeats, Watch

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("installation")]


@pytest.fixture(scope="module")
def forged(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All three models give other masks, and every checksum agrees."""
    repository = copied(good, tmp_path_factory.mktemp("forged") / "r")
    for model, kind in zip(LAYOUTS, ("another mean", "another class order", "another training"),
                           strict=True):  # fmt: skip
        forge(repository, model, kind, np.random.default_rng(1))
    return repository


@pytest.fixture(scope="module")
def forged_server(forged: Path) -> Iterator[TritonServer]:
    """A Triton that serves the forged models, because nobody verifies them."""
    with TritonServer(ServerConfig(repositories=(forged,))) as server:
        yield server


def test_a_good_repository_passes_through_a_server(good: Path) -> None:
    outcome = CliRunner().invoke(cli, ["verify", str(good), "--json"])
    assert outcome.exit_code == 0, outcome.output
    models = json.loads(outcome.output)["models"]
    assert {one["model"] for one in models} == set(LAYOUTS)
    for one in models:
        assert one["problem"] is None
        assert len(one["equal_pixels"]) >= 3
        assert min(one["equal_pixels"].values()) == 1.0


def test_a_server_that_gives_other_masks_is_told_model_by_model(
    good: Path, forged_server: TritonServer
) -> None:
    results = verify_server(forged_server.grpc_url, good)
    assert str(results[0].problem).startswith("answers as another build than the receipt's")
    for one in results:
        assert "restart that server on the repository of the receipt" in str(one.problem)
    outcome = CliRunner().invoke(cli, ["verify", forged_server.grpc_url, "--repository", str(good)])
    assert outcome.exit_code == 1
    assert len(outcome.output.splitlines()) == len(LAYOUTS)


@pytest.mark.parametrize("model", LAYOUTS)
def test_its_masks_alone_say_so(good: Path, forged_server: TritonServer, model: str) -> None:
    (checked,) = check_files(good, [model])
    assert checked.receipt is not None
    verdict = ask_canaries(
        forged_server.grpc_url, model, "1", checked.receipt, compares_digests=False
    )
    assert str(verdict.problem).startswith("canary ")


def test_a_build_that_publishes_no_engine_is_served_by_its_own_digest(
    good: Path, tmp_path: Path
) -> None:
    """What releases before wrote; its receipts and its clients know it by that digest."""
    repository = copied(good, tmp_path / "r")
    for model in LAYOUTS:
        age(repository, model)
    assert [one.problem for one in check_files(repository)] == [None] * len(LAYOUTS)
    image = np.zeros((64, 96, 3), np.uint8)
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        assert [one.problem for one in verify_server(server.grpc_url, repository)] == [None] * 3
        for model in LAYOUTS:
            with SegmentationClient(server.grpc_url, model=model) as client:
                answered = client.segment(image).model
            (aged,), (built,) = (check_files(one, [model]) for one in (repository, good))
            assert aged.receipt is not None
            assert built.receipt is not None
            assert answered.engine_sha256 is None
            assert answered.digest == aged.receipt.digest != built.receipt.digest


def test_a_forged_repository_is_refused_by_verify(forged: Path) -> None:
    outcome = CliRunner().invoke(cli, ["verify", str(forged), "--model", "beta"])
    assert outcome.exit_code == 1
    (line,) = outcome.output.splitlines()
    assert line.startswith("beta: canary ")
    assert "its files are as built, so restart, or build it again: tritonseg build" in line


def test_a_server_that_is_not_there_is_told(good: Path) -> None:
    outcome = CliRunner().invoke(cli, ["verify", "127.0.0.1:9", "--repository", str(good)])
    assert outcome.exit_code == 1
    assert "no answer for a canary" in outcome.output


def closed(repository: Path) -> ServerConfig:
    """As in the containers, where no client lists or loads models."""
    return ServerConfig(repositories=(repository,), http_port=0, closed_apis=("model-repository",))


def test_it_is_not_ready_before_its_canaries_are_right(good: Path) -> None:
    watch, seen = Watch([good]), []

    def before_ready(server: TritonServer) -> None:
        seen.append(health(server.grpc_url, timeout_s=5))
        with triton.InferenceServerClient(server.grpc_url) as client:
            seen.append(client.is_server_ready())
        watch.before_ready(server)

    with TritonServer(closed(good), before_ready=before_ready) as server:
        assert seen == ["NOT_SERVING", False]
        assert health(server.grpc_url, timeout_s=5) == "SERVING"
        assert all(one.problem is None and one.equal_pixels for one in watch.results)
        with triton.InferenceServerClient(server.grpc_url) as client:
            assert client.is_model_ready("alpha")
            with pytest.raises(triton.InferenceServerException, match="restricted"):
                client.load_model("alpha")  # open to the launcher alone
        assert server.is_running
        stub = psutil.Process(server.pid).children()[0]
        stub.kill()
        assert server.wait(10) == STUB_LOST  # Triton itself stays ready: server #7230, #8604


def test_a_forged_one_never_becomes_ready(forged: Path) -> None:
    states: set[str] = set()
    done = threading.Event()
    url = []

    def look() -> None:
        while not done.wait(0.02):
            if url:
                states.add(health(url[0], timeout_s=1).partition(":")[0])

    def before_ready(server: TritonServer) -> None:
        url.append(server.grpc_url)
        time.sleep(0.5)
        Watch([forged]).before_ready(server)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        with pytest.raises(VerificationError, match=r"^alpha: canary .*build it again: "):
            TritonServer(closed(forged), before_ready=before_ready).start()
    finally:
        done.set()
        looker.join()
    assert "NOT_SERVING" in states
    assert "SERVING" not in states


def test_where_models_may_be_listed_a_wrong_canary_still_ends_the_start(forged: Path) -> None:
    config = ServerConfig(repositories=(forged,))
    assert not config.can_be_held_back
    server = TritonServer(config, before_ready=Watch([forged]).before_ready)
    with pytest.raises(VerificationError, match=r"^alpha: canary "):
        server.start()
    assert not server.is_running


def test_a_model_that_does_not_load_still_ends_the_start(good: Path, tmp_path: Path) -> None:
    repository = copied(good, tmp_path / "r")
    (repository / "broken/1").mkdir(parents=True)
    (repository / "broken/config.pbtxt").write_text('backend: "python"\n')
    (repository / "broken/1/model.py").write_text("raise ValueError('of its own')\n")
    with pytest.raises(ServerStartError, match="did not load broken") as caught:
        TritonServer(closed(repository), before_ready=Watch([good]).before_ready).start()
    assert "tritonseg_gate" not in str(caught.value)


def test_a_canary_that_is_wrong_later_ends_the_server(
    good: Path, forged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The receipts of others stand for an engine that changed under a running server."""
    server = TritonServer(ServerConfig(repositories=(forged,)))
    repeats = Repeats(Watch([good]), 0.2)
    code = run_until_signal(
        server, on_ready=lambda: repeats.start(server.grpc_url), problem=repeats.problem
    )
    assert code == MASKS_CHANGED
    assert not server.is_running
    (line,) = [one.getMessage() for one in caplog.records if "is ended" in one.getMessage()]
    assert line.startswith("alpha: answers as another build")


def test_a_stuck_process_is_found(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ANSWER_TIMEOUT_S", 1.0)
    watch = Watch([good], ["beta"])
    with TritonServer(ServerConfig(repositories=(good,), models=("beta",))) as server:
        assert watch.ask(server.grpc_url) is None
        (stub,) = psutil.Process(server.pid).children()
        stub.suspend()
        try:
            found = [watch.ask(server.grpc_url) for _ in range(3)]
        finally:
            stub.resume()
        assert found[:2] == [None, None]
        assert str(found[2]).startswith("beta: no answer for a canary")
        assert watch.ask(server.grpc_url) is None


def test_serve_tells_what_it_verified_and_what_changed_on_the_disk(
    good: Path, tmp_path: Path
) -> None:
    repository = copied(good, tmp_path / "r")
    command = [sys.executable, "-m", "tritonseg", "serve", "--repository", str(repository)]
    options = ["--grpc-port", "0", "--verify-every", "0.5", "--verify-metrics-port", "0"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as serving:
        try:
            assert serving.stdout is not None
            ready = serving.stdout.readline()
            (url,) = re.findall(r"canaries on (http://\S+);", ready)
            (repository / "gamma/1/model.onnx").write_bytes(b"")
            metrics = _metrics_once(url, 'tritonseg_files_as_built{model="gamma",version="1"}', 0)
            assert serving.poll() is None  # what is loaded is still right
        finally:
            serving.terminate()
        _, errors = serving.communicate(timeout=60)
    assert serving.returncode == 0
    for model in LAYOUTS:
        labels = f'model="{model}",version="1"'
        assert metrics[f"tritonseg_canaries_right{{{labels}}}"] == 1
        assert metrics[f'tritonseg_canary_rounds_total{{{labels},outcome="right"}}'] >= 2
        assert metrics[f"tritonseg_files_as_built{{{labels}}}"] == (model != "gamma")
    shares = [one for name, one in metrics.items() if name.startswith("tritonseg_canary_equal")]
    assert len(shares) >= 3 * len(LAYOUTS)
    assert set(shares) == {1.0}
    told = errors.splitlines()
    assert "beta: 3 canaries and 4 files as built" in told
    assert len([line for line in told if "gamma/1/model.onnx is not the file" in line]) == 1


def _metrics_once(url: str, name: str, value: float) -> dict[str, float]:
    """Read the metrics until one has a value."""
    deadline = time.monotonic() + 20
    while True:
        with urllib.request.urlopen(url, timeout=5) as response:
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            lines = response.read().decode().splitlines()
        samples = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        metrics = {sample: float(text) for sample, _, text in samples}
        if metrics.get(name) == value:
            return metrics
        assert time.monotonic() < deadline, metrics
        time.sleep(0.2)
