"""A real Prometheus with our rules, a real Triton under load, and every panel's queries."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dockerfiles import DOCKER
from interop import LAYOUTS, build_layouts
from monitoring import FILES, MONITORING, RULES, panel_queries
from tritonseg import RetryPolicy, SegmentationClient, SegmentationError
from tritonseg_engines.build.model import build_model
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec
from tritonseg_steps.contract import QUEUE_PARAMETER

pytestmark = pytest.mark.e2e

NO_GPU_HERE = {"GPU in use", "GPU memory in use", "GPU power"}
EMPTY = {("Servers", 1)}
"""Queries that return nothing while all is well: servers that are down."""
SHOWN = {"served_model", "model", "outcome", "reason", "quantile"}
LOAD_S = 40.0
CALLERS = 12


@pytest.fixture(scope="module")
def server(deploy_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """The demo in every layout, with lines that are too short for its callers."""
    repository = tmp_path_factory.mktemp("monitored") / "model_repository"
    build_layouts(demo_spec(), DEMO_ONNX, repository)
    for path in repository.glob("*/config.pbtxt"):
        config = read_config(path)
        if QUEUE_PARAMETER in config.parameters:
            config.parameters[QUEUE_PARAMETER].string_value = "2"
            path.write_text(str(config))
    latencies = ("--metrics-config=summary_latencies=true",)
    with TritonServer(
        ServerConfig(repositories=(repository,), extra_arguments=latencies)
    ) as server:
        yield server


@pytest.fixture(scope="module")
def prometheus(
    deploy_tools: Path, server: TritonServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """URL of a Prometheus with our file; only where the server is, and how often, are others."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "2s", "evaluation_interval": "2s"}
    config["rule_files"] = [str(FILES / Path(path).name) for path in config["rule_files"]]
    (scrape,) = config["scrape_configs"]
    del scrape["dns_sd_configs"]
    address = str(server.metrics_url).removeprefix("http://").removesuffix("/metrics")
    scrape["static_configs"] = [{"targets": [address]}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    with closing(socket.create_server(("127.0.0.1", 0))) as one:
        url = f"127.0.0.1:{one.getsockname()[1]}"
    command = [
        deploy_tools / "prometheus/usr/bin/prometheus", f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data", f"--web.listen-address={url}",
    ]  # fmt: skip
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            yield f"http://{url}"
        finally:
            process.terminate()


def ask(prometheus: str, path: str, **parameters: object) -> Any:
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{prometheus}/api/v1/{path}?{query}", timeout=10) as answer:
        return json.load(answer)["data"]


def load(server: TritonServer, model: str, until_s: float) -> None:
    picture = np.zeros((512, 1024, 3), np.uint8)
    once = RetryPolicy(max_retries=0)
    with SegmentationClient(server.grpc_url, model=model, retry=once) as client:
        while time.monotonic() < until_s:
            try:
                client.segment(picture)
            except SegmentationError:
                time.sleep(0.2)


def has_numbers(series: list[Any]) -> bool:
    return any(value != "NaN" for one in series for _, value in one["values"])


def all_rules(prometheus: str) -> list[Any]:
    return [rule for group in ask(prometheus, "rules")["groups"] for rule in group["rules"]]


def draw(found: dict[tuple[str, int], list[Any]], path: Path) -> None:
    """Draw every panel, to be looked at."""
    import matplotlib.pyplot as plt

    titles = list(dict.fromkeys(title for title, _ in found))
    figure, axes = plt.subplots(-(-len(titles) // 3), 3, figsize=(18, 3 * len(titles) // 3 + 3))
    for title, axis in zip(titles, axes.flat, strict=False):
        for (of, _), series in found.items():
            for one in series if of == title else ():
                times, values = zip(*one["values"], strict=True)
                labels = [v for k, v in sorted(one["metric"].items()) if k in SHOWN]
                axis.plot(times, [float(value) for value in values], label=" ".join(labels) or "-")
        axis.set_title(title)
        if axis.lines:
            axis.legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path)


def test_every_panel_shows_something_of_a_server_under_load(
    server: TritonServer, prometheus: str
) -> None:
    until_s = time.monotonic() + LOAD_S
    callers = [
        threading.Thread(target=load, args=(server, f"street-{LAYOUTS[number % 3]}", until_s))
        for number in range(CALLERS)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    end_s = time.time()
    found, empty = {}, []
    for title, queries in panel_queries().items():
        for number, query in enumerate(queries):
            answer = ask(
                prometheus, "query_range", query=query, start=end_s - LOAD_S, end=end_s, step=2
            )
            found[title, number] = answer["result"]
            if not has_numbers(answer["result"]):
                empty.append((title, number))
    if "TRITONSEG_PANELS" in os.environ:
        draw(found, Path(os.environ["TRITONSEG_PANELS"]))
    expected = {(title, number) for title, number in found if title in NO_GPU_HERE} | EMPTY
    assert set(empty) == expected

    outcomes = {series["metric"]["outcome"] for series in found["Requests by outcome", 0]}
    assert {"answered", "refused"} <= outcomes
    for series in found["Queue : compute of a model", 0]:
        assert max(float(value) for _, value in series["values"]) > 0.1, series["metric"]
    health = {rule["name"]: rule["health"] for rule in all_rules(prometheus)}
    assert set(health.values()) == {"ok"}, health


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
