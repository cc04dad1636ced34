"""The shipped model through a real Triton: right masks, real figures, the command that shows it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner
from PIL import Image

from demo_model.scenes import draw_scene
from tritonseg import SegmentationClient
from tritonseg_engines.cli.app import cli
from tritonseg_engines.gate.metrics import ConfusionMatrix
from tritonseg_engines.serving import TritonServer
from tritonseg_engines.serving.latency import LatencyProbe
from tritonseg_engines.zoo.street_demo import DEMO_FIGURES, DEMO_ONNX, demo_spec
from tritonseg_steps.preprocessing import Normalizer
from tritonseg_steps.upsampling import class_map_from_scores

HELD_OUT_SEEDS = range(9_000_000, 9_000_006)
"""Far from the seeds that training and its own evaluation draw."""


def test_mask_is_the_one_onnx_runtime_leads_to(client: SegmentationClient) -> None:
    """Another runtime on the same file; a picture of another ratio, so that it is padded."""
    image = draw_scene(5, height=300, width=480).image_hwc
    normalizer = Normalizer(demo_spec().preprocessing)
    session = onnxruntime.InferenceSession(DEMO_ONNX, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"image": normalizer.batch(image[None])})
    expected = class_map_from_scores(scores[0], normalizer.geometry((300, 480)))
    result = client.segment(image)
    assert result.class_map.shape == (300, 480)
    assert (result.class_map == expected).mean() >= 0.9999


def test_held_out_scenes_are_segmented_as_well_as_stated(client: SegmentationClient) -> None:
    """Six scenes scatter by a few points around the figure of the whole held-out set."""
    matrix = ConfusionMatrix(19, ignore_index=255)
    for seed in HELD_OUT_SEEDS:
        scene = draw_scene(seed, height=512, width=1024)
        matrix.add(scene.labels_hw, client.segment(scene.image_hwc).class_map)
    stated = json.loads(DEMO_FIGURES.read_text())
    assert matrix.pixel_accuracy >= stated["pixel_accuracy"] - 0.05
    assert matrix.mean_iou >= stated["mean_iou"] - 0.12


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 300), (700, 2), (33, 57)])
def test_any_size_comes_back_as_it_went(
    client: SegmentationClient, size_hw: tuple[int, int]
) -> None:
    image = np.full((*size_hw, 3), 90, np.uint8)
    assert client.segment(image).class_map.shape == size_hw


def test_the_model_says_where_it_comes_from(client: SegmentationClient) -> None:
    model = client.model
    assert model.classes == demo_spec().classes
    assert model.palette == demo_spec().palette
    assert (model.precision, model.runtime) == ("fp32", "openvino")


def test_latency_is_counted_for_every_step(
    client: SegmentationClient, demo_server: TritonServer
) -> None:
    probe = LatencyProbe(demo_server.grpc_url, "street-demo")
    for _ in range(3):
        client.segment(np.zeros((64, 64, 3), np.uint8))
    ensemble, *steps = probe.latencies()
    assert [step.requests for step in (ensemble, *steps)] == [3, 3, 3, 3]
    assert all(step.infer_ms > 0 for step in steps)
    # Triton starts and stops the ensemble's and the steps' clocks at slightly different points.
    steps_ms = sum(step.total_ms for step in steps)
    assert 0.5 * ensemble.total_ms <= steps_ms <= 1.1 * ensemble.total_ms + 2


def test_segment_command_writes_what_it_says(demo_server: TritonServer, tmp_path: Path) -> None:
    scene = draw_scene(6, height=96, width=160)
    Image.fromarray(scene.image_hwc).save(tmp_path / "street.png")
    arguments = ["segment", str(tmp_path / "street.png"), "--model", "street-demo"]
    arguments += ["--url", demo_server.grpc_url, "-o", str(tmp_path / "out"), "--json"]
    outcome = CliRunner().invoke(cli, arguments)
    assert outcome.exit_code == 0, outcome.output
    summary = json.loads(outcome.stdout)
    with Image.open(tmp_path / "out" / "street.png") as written:
        class_map = np.asarray(written)
    assert class_map.shape == (96, 160)
    road = demo_spec().classes.index("road")
    coverage = {entry["name"]: entry["coverage"] for entry in summary["classes"]}
    assert coverage.get("road", 0) == pytest.approx((class_map == road).mean())
    with Image.open(tmp_path / "out" / "street.overlay.jpg") as written:
        assert written.size == (160, 96)


def test_demo_command_goes_the_whole_way(tmp_path: Path) -> None:
    picture = tmp_path / "mine.jpg"
    Image.fromarray(draw_scene(7, height=200, width=320).image_hwc).save(picture)
    outcome = CliRunner().invoke(cli, ["demo", str(picture), "-o", str(tmp_path / "out")])
    assert outcome.exit_code == 0, outcome.output
    assert "street-demo_engine" in outcome.output
    with Image.open(tmp_path / "out" / "overlay.png") as written:
        assert written.size == (320, 200)
    with Image.open(tmp_path / "out" / "class_map.png") as written:
        assert written.mode == "L"
