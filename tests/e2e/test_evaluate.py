"""`tritonseg evaluate` against a real Triton: figures, interruptions, comparisons."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import independent_figures
from demo_model.scenes import draw_scene
from independent_figures import Seen
from street_sets import FIRST_SEED, write_streets
from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.cli.app import cli
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.zoo.street_demo import CALIBRATION, DEMO_ONNX, demo_spec

SIZE = {"height": 128, "width": 256}
COUNT = 12
IGNORED = 255


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_streets(tmp_path_factory.mktemp("streets"), COUNT, **SIZE)


def words(server: TritonServer, streets: Path, output: Path, *more: object) -> list[str]:
    given = ["evaluate", "street-demo", "--url", server.grpc_url, "--format", "cityscapes"]
    return [*given, *map(str, ["--dataset", streets, "-o", output, *more])]


def evaluate(server: TritonServer, streets: Path, output: Path, *more: object) -> Result:
    return CliRunner().invoke(cli, words(server, streets, output, *more))


def report(output: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((output / "report.json").read_text())
    return document


def test_figures_are_those_of_scikit_learn(
    demo_server: TritonServer, client: SegmentationClient, streets: Path, tmp_path: Path
) -> None:
    outcome = evaluate(demo_server, streets, tmp_path)
    assert outcome.exit_code == 0, outcome.output
    seen = []
    for index in range(COUNT):
        scene = draw_scene(FIRST_SEED + index, **SIZE)
        result = client.segment(scene.image_hwc, confidence=True)
        seen.append(
            Seen(
                labels=scene.labels_hw.astype(int),
                class_map=result.class_map,
                confidence=result.confidence,
            )
        )
    expected = independent_figures.figures(seen, 19, IGNORED)
    (model,) = report(tmp_path)["figures"]["models"]
    for name in (
        "mean_iou", "pixel_accuracy", "mean_class_accuracy", "frequency_weighted_iou",
        "mean_boundary_iou",
    ):  # fmt: skip
        assert model[name] == pytest.approx(expected[name], abs=1e-9), name
    error = independent_figures.calibration_error(seen, IGNORED)
    assert model["calibration_error"] == pytest.approx(error, abs=1e-9)
    assert model["confusion"] == expected["confusion"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html", "report.json", "report.md", "pictures.csv",
    }  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_and_resumed_is_the_same(
    number: signal.Signals, demo_server: TritonServer, streets: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert evaluate(demo_server, streets, whole).exit_code == 0
    journal = parts / ".partial.jsonl"
    command = [sys.executable, "-m", "tritonseg", *words(demo_server, streets, parts)]
    command += ["--in-flight", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 3):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, number)
        _, told = process.communicate()
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "--resume goes on from there" in told
    counted = journal.read_bytes().count(b"\n") - 1
    assert 3 <= counted < COUNT
    refused = evaluate(demo_server, streets, parts)
    assert refused.exit_code == 1
    assert "holds a run that was interrupted: --resume goes on" in refused.output
    assert evaluate(demo_server, streets, parts, "--resume").exit_code == 0
    one, other = report(whole), report(parts)
    assert other["run"]["pictures"] <= COUNT - counted + 1
    assert json.dumps(one["figures"]) == json.dumps(other["figures"])
    assert (whole / "pictures.csv").read_bytes() == (parts / "pictures.csv").read_bytes()
    assert not journal.exists()


def test_a_model_beside_itself(demo_server: TritonServer, streets: Path, tmp_path: Path) -> None:
    """The same server under another name: the same masks, and that is what is said."""
    other = demo_server.grpc_url.replace("127.0.0.1", "localhost")
    outcome = evaluate(demo_server, streets, tmp_path, "--compare", f"={other}")
    assert outcome.exit_code == 0, outcome.output
    assert f"gives the masks of street-demo 1, fp32, at {demo_server.grpc_url}" in outcome.output
    (difference,) = report(tmp_path)["figures"]["differences"]
    assert difference["changed_pixels"] == 0
    assert difference["mean_iou_interval"] == [0, 0]


def test_ways_to_send_give_the_same(
    demo_server: TritonServer, streets: Path, tmp_path: Path
) -> None:
    found = []
    for transport in ("raw", "encoded", "shared_memory"):
        folder = tmp_path / transport
        assert evaluate(demo_server, streets, folder, "--transport", transport).exit_code == 0
        found.append(report(folder)["figures"]["models"][0]["confusion"])
    assert found[0] == found[1] == found[2]


def confusion(seen: list[Seen]) -> list[list[int]]:
    counted: list[list[int]] = independent_figures.figures(seen, 19, IGNORED)["confusion"]
    return counted


def test_tiles_are_those_of_the_client(
    demo_server: TritonServer, client: SegmentationClient, tmp_path: Path
) -> None:
    size = {"height": 640, "width": 1280}  # larger than the network's input
    large = write_streets(tmp_path / "streets", 2, **size)
    outcome = evaluate(demo_server, large, tmp_path / "report", "--tiling", "auto")
    assert outcome.exit_code == 0, outcome.output
    in_tiles, whole = [], []
    for index in range(2):
        scene = draw_scene(FIRST_SEED + index, **size)
        for seen, tiling in ((in_tiles, "auto"), (whole, None)):
            result = client.segment(scene.image_hwc, tiling=tiling)
            seen.append(Seen(labels=scene.labels_hw.astype(int), class_map=result.class_map))
    (model,) = report(tmp_path / "report")["figures"]["models"]
    assert model["confusion"] == confusion(in_tiles) != confusion(whole)


def test_versions_side_by_side(streets: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    for version, precision in (("1", "fp32"), ("2", "int8")):
        options = BuildOptions(
            version=version, calibration=CALIBRATION, minimum_pictures=8, accept=True
        )
        build_model(demo_spec(), DEMO_ONNX, repository, precision=precision, options=options)
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        more = ["--model-version", "1", "--compare", "@2"]
        outcome = evaluate(server, streets, tmp_path / "report", *more)
        assert outcome.exit_code == 0, outcome.output
        found = report(tmp_path / "report")["figures"]["models"]
        with SegmentationClient(server.grpc_url, model="street-demo") as client:
            for model, version in zip(found, ("1", "2"), strict=True):
                scenes = [draw_scene(FIRST_SEED + index, **SIZE) for index in range(COUNT)]
                seen = [
                    Seen(
                        labels=scene.labels_hw.astype(int),
                        class_map=client.segment(scene.image_hwc, model_version=version).class_map,
                    )
                    for scene in scenes
                ]
                assert model["confusion"] == confusion(seen)
    assert found[0]["confusion"] != found[1]["confusion"]


def test_what_stands_in_the_way_is_one_line(
    demo_server: TritonServer, streets: Path, tmp_path: Path
) -> None:
    broken = write_streets(tmp_path / "set", 2, **SIZE)
    labels = next(broken.glob("gtFine/val/aachen/*.png"))
    kept = np.asarray(Image.open(labels)).copy()
    for pixels, told in (
        (np.where(kept == 7, 99, kept), "got 99 ("),
        (kept[:-1], "expected labels of 128x256 pixels"),
        (np.repeat(kept[..., None], 3, 2), "expected labels as class indices"),
    ):
        Image.fromarray(pixels).save(labels)
        outcome = evaluate(demo_server, broken, tmp_path / "out")
        assert outcome.exit_code == 1
        assert told in outcome.output
        assert str(labels) in outcome.output
        assert list((tmp_path / "out").iterdir()) == []
