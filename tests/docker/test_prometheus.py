"""A real Prometheus with our rules, a real Triton under load, and every panel's queries."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dockerfiles import DOCKER
from interop import LAYOUTS, build_layouts
from monitoring import RULES, panel_queries
from real_prometheus import SCRAPE_S, Prometheus, Series, draw, has_numbers, prometheus
from served_by_command import ServedByCommand
from tritonseg import RetryPolicy, SegmentationClient, SegmentationError
from tritonseg_engines.build.model import build_model
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.serving.foreground import MASKS_CHANGED
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec
from tritonseg_steps.contract import QUEUE_PARAMETER

pytestmark = pytest.mark.e2e

NO_GPU_HERE = {"GPU in use", "GPU memory in use", "GPU power"}
EMPTY = {("Servers", 1)}
"""Queries that return nothing while all is well: servers that are down."""
LOAD_S = 40.0
CALLERS = 12


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo in every layout, with lines that are too short for its callers."""
    repository = tmp_path_factory.mktemp("monitored") / "model_repository"
    build_layouts(demo_spec(), DEMO_ONNX, repository)
    for path in repository.glob("*/config.pbtxt"):
        config = read_config(path)
        if QUEUE_PARAMETER in config.parameters:
            config.parameters[QUEUE_PARAMETER].string_value = "2"
            path.write_text(str(config))
    return repository


def watched(
    tools: Path, served: ServedByCommand, folder: Path
) -> AbstractContextManager[Prometheus]:
    addresses = served.addresses
    jobs = {"tritonseg": addresses["metrics"], "tritonseg-canaries": addresses["canaries"]}
    return prometheus(tools, folder, jobs)


def load(url: str, model: str, until_s: float) -> None:
    picture = np.zeros((512, 1024, 3), np.uint8)
    once = RetryPolicy(max_retries=0)
    with SegmentationClient(url, model=model, retry=once) as client:
        while time.monotonic() < until_s:
            try:
                client.segment(picture)
            except SegmentationError:
                time.sleep(0.2)


def drawn(found: Mapping[str, list[Series]], suffix: str = "") -> None:
    """With TRITONSEG_PANELS=FILE.png as a picture."""
    if "TRITONSEG_PANELS" in os.environ:
        path = Path(os.environ["TRITONSEG_PANELS"])
        draw(found, path.with_stem(path.stem + suffix))


def await_state_of_masks(seen: Prometheus, expected: list[str]) -> None:
    (query,) = panel_queries()["Masks"]
    deadline = time.monotonic() + 30
    while True:
        states = [one["value"][1] for one in seen.ask("query", query=query)["result"]]
        if states == expected:
            return
        assert time.monotonic() < deadline, states
        time.sleep(0.5)


def test_every_panel_shows_something_of_a_server_under_load(
    deploy_tools: Path, repository: Path, tmp_path: Path
) -> None:
    options = ("--verify-every=10", "--", "--metrics-config=summary_latencies=true")
    with (
        ServedByCommand(repository, tmp_path / "served.log", *options) as served,
        watched(deploy_tools, served, tmp_path) as seen,
    ):
        url, until_s = served.addresses["gRPC"], time.monotonic() + LOAD_S
        callers = [
            threading.Thread(target=load, args=(url, f"street-{LAYOUTS[number % 3]}", until_s))
            for number in range(CALLERS)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        await_state_of_masks(seen, ["0"] * len(LAYOUTS))  # too busy for canaries until now
        found = seen.panels(panel_queries(), LOAD_S + 20)
        drawn(found)
        rules, alerts = seen.rules(), seen.alerts()
    empty = {
        (title, number)
        for title, answers in found.items()
        for number, series in enumerate(answers)
        if not has_numbers(series)
    }
    assert empty == {(title, 0) for title in NO_GPU_HERE} | EMPTY

    (requests,) = found["Requests by outcome"]
    assert {"answered", "refused"} <= {series["metric"]["outcome"] for series in requests}
    (waiting,) = found["Queue : compute of a model"]
    for series in waiting:
        assert max(float(value) for _, value in series["values"]) > 0.1, series["metric"]
    (states,) = found["Masks"]
    assert {series["metric"]["model"] for series in states} == {f"street-{one}" for one in LAYOUTS}
    assert max(float(value) for one in states for _, value in one["values"]) < 2
    health = {rule["name"]: rule["health"] for rule in rules}
    assert set(health.values()) == {"ok"}, health
    assert not alerts.keys() & {"TritonsegMasksDiffer", "TritonsegUnverified", "TritonsegDown"}


def test_masks_that_changed_are_told_though_the_server_is_back(
    deploy_tools: Path, repository: Path, tmp_path: Path
) -> None:
    """The launcher waits for Prometheus' last look; what it saw outlives the restart."""
    model, wrong = "street-single", tmp_path / "wrong"
    options = [model, "--verify-every=2"]
    with (
        ServedByCommand(repository, tmp_path / "1.log", *options, wrong_once=wrong) as served,
        watched(deploy_tools, served, tmp_path) as seen,
    ):
        await_state_of_masks(seen, ["0"])
        assert seen.alerts() == {}
        wrong.touch()
        assert served.process.wait(60) == MASKS_CHANGED
        alert = seen.await_alert("TritonsegMasksDiffer")
        assert alert["state"] == "firing"
        assert alert["annotations"]["summary"].startswith(f"{model} on 127.0.0.1:")
        seen.await_alert("TritonsegDown")
        ports = {
            option: urllib.parse.urlsplit(served.addresses[what]).port
            for option, what in (("metrics", "metrics"), ("verify-metrics", "canaries"))
        }
        options += [f"--{option}-port={port}" for option, port in ports.items()]
        with ServedByCommand(repository, tmp_path / "2.log", *options):
            time.sleep(4 * SCRAPE_S)
            assert seen.alerts().keys() == {"TritonsegMasksDiffer"}
            await_state_of_masks(seen, ["2"])
            drawn(seen.panels(panel_queries(), LOAD_S), "_wrong")


def test_a_server_that_nobody_verifies_is_told(
    deploy_tools: Path, repository: Path, tmp_path: Path
) -> None:
    with ServedByCommand(repository, tmp_path / "served.log", "--no-verify") as served:
        assert "canaries" not in served.addresses
        served.addresses["canaries"] = "http://127.0.0.1:9/metrics"
        with watched(deploy_tools, served, tmp_path) as seen:
            alert = seen.await_alert("TritonsegUnverified")
            assert alert["annotations"]["summary"] == "Nothing verifies the server on 127.0.0.1"
            assert seen.alerts().keys() == {"TritonsegUnverified"}


def promtool(tools: Path, *arguments: object) -> None:
    command = [str(tools / "prometheus/usr/bin/promtool"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_has_no_objection_to_the_rules(deploy_tools: Path) -> None:
    promtool(deploy_tools, "check", "rules", *RULES)


def test_the_rules_say_what_they_should_of_invented_servers(
    deploy_tools: Path, tmp_path: Path
) -> None:
    text = Path(__file__).with_name("rules_test.yaml").read_text()
    named = text.replace("rule_files: []", f"rule_files: {json.dumps(list(map(str, RULES)))}")
    (tmp_path / "rules_test.yaml").write_text(named)
    promtool(deploy_tools, "test", "rules", tmp_path / "rules_test.yaml")


class Collector(http.server.ThreadingHTTPServer):
    """Takes spans as OpenTelemetry's collector does, by OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taken)
        self.spans: list[dict[str, Any]] = []


class Taken(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        for resource in body["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                self.server.spans += scope["spans"]  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_request_is_one_trace_through_the_ensemble(deploy_tools: Path, tmp_path: Path) -> None:
    """With the options of compose, but for where spans go and of how many requests."""
    build_model(demo_spec(), DEMO_ONNX, tmp_path / "models", layout="ensemble")
    compose = yaml.safe_load((DOCKER / "compose.tracing.yaml").read_text())
    words = compose["services"]["server-cpu"]["command"]
    options = " ".join(words[words.index("--") + 1 :])
    options = options.replace("${TRITONSEG_TRACE_RATE:-100}", "1")
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, daemon=True)
        thread.start()
        here = f"127.0.0.1:{collector.server_port}"
        options = options.replace("otel-collector:4318", here)
        config = ServerConfig(
            repositories=(tmp_path / "models",), extra_arguments=tuple(options.split())
        )
        with (
            TritonServer(config) as server,
            SegmentationClient(server.grpc_url, model="street-demo") as client,
        ):
            client.segment(np.zeros((512, 1024, 3), np.uint8))
        collector.shutdown()
    steps = ("_normalize", "_engine", "_argmax")
    names = {span["name"] for span in collector.spans}
    assert {f"street-demo{suffix}" for suffix in ("", *steps)} <= names
    assert len({span["traceId"] for span in collector.spans}) == 1
