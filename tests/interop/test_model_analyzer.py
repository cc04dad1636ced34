"""NVIDIA's Model Analyzer by the config and the line of docs/interop.md."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop import Served, fences, interop_config, run_bash, served
from tritonseg import SegmentationClient
from tritonseg_engines.serving import TritonServer
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec


@pytest.fixture(params=["ensemble", "single"])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def analyzed(demo_layouts: Path, layout: str, tmp_path: Path) -> Iterator[Served]:
    """A server of one layout that loads models by request."""
    config = dataclasses.replace(
        interop_config(demo_layouts),
        models=(f"street-{layout}",),
        allowed_apis=("shared-memory", "model-repository"),
    )
    with TritonServer(config) as server:
        yield served(server, demo_spec(), DEMO_ONNX, tmp_path)


def test_a_quick_search(analyzed: Served, demo_layouts: Path, layout: str, tools: Path) -> None:
    (config,) = fences("Model Analyzer", "yaml")
    config = analyzed.written(config, layout)
    config = config.replace("http://localhost:8002/metrics", str(analyzed.server.metrics_url))
    config = config.replace("out/model_repository", str(demo_layouts))
    if layout == "single":
        lines = config.splitlines()
        config = "\n".join(line for line in lines if not line.startswith("cpu_only_composing"))
    (analyzed.folder / "analyzer.yaml").write_text(config)
    url = f"--url {analyzed.server.grpc_url}"
    run_bash(
        f"tritonseg perf-input pictures -o perf_pixels.json --model street-{layout} {url}",
        analyzed.folder,
    )
    before = {path: path.read_bytes() for path in demo_layouts.rglob("config.pbtxt")}
    folders = [tools / "bin", tools / "model-analyzer" / "bin"]
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    line = fences("Model Analyzer", "bash")[1]
    run_bash(line, analyzed.folder, {"PATH": path}, timeout_s=600)
    assert {path: path.read_bytes() for path in demo_layouts.rglob("config.pbtxt")} == before
    figures = analyzed.folder / "results" / "metrics-model-inference.csv"
    rows = list(csv.DictReader(figures.read_text().splitlines()))
    assert len(rows) >= 3
    assert all(float(row["Throughput (infer/sec)"]) > 0 for row in rows)
    # Of the last config that it tried, which is not the one that was built.
    with SegmentationClient(analyzed.server.grpc_url, model=f"street-{layout}") as client:
        analyzed.check(client.segment(analyzed.folder / "street.jpg").class_map)
