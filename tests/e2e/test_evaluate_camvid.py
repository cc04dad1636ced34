"""`tritonseg evaluate` on real photographs: scikit-learn's figures, and upstream's.

The photographs and weights are in the shared folder, which does not ship.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import independent_figures
from independent_figures import Seen
from tritonseg import SegmentationClient
from tritonseg_engines import zoo
from tritonseg_engines.build.model import build_model
from tritonseg_engines.cli.app import cli
from tritonseg_engines.evaluation.label_sets import CAMVID_CLASSES
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.spec import InputSpec, voc_palette

pytest.importorskip("torch", reason="exporting the trained weights needs torch")

UNLABELLED = 11
SIZE_HW = (360, 480)
UPSTREAM_IOU = (
    0.8850, 0.7016, 0.2427, 0.8873, 0.6046, 0.6515, 0.2522, 0.2875, 0.7097, 0.4154, 0.5300,
)  # fmt: skip


@pytest.fixture(scope="module")
def repository(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tritonseg_engines.checkpoints import load_checkpoint
    from tritonseg_engines.zoo.export import export_onnx

    folder = tmp_path_factory.mktemp("camvid")
    name = "hrnetv2-w18-small-v1-cityscapes"
    weights = shared / "data" / "weights" / "hrnetv2_w18_small_v1_camvid11.pth"
    export_onnx(
        load_checkpoint(name, weights, len(CAMVID_CLASSES)),
        folder / "camvid.onnx",
        size_hw=SIZE_HW,
    )
    spec = replace(
        zoo.get_spec(name),
        name="camvid",
        input=InputSpec(name="image", height=SIZE_HW[0], width=SIZE_HW[1]),
        classes=CAMVID_CLASSES,
        palette=voc_palette(len(CAMVID_CLASSES)),
        ignore_index=UNLABELLED,
    )
    build_model(spec, folder / "camvid.onnx", folder / "repository")
    return folder / "repository"


def test_figures_on_photographs(shared: Path, repository: Path, tmp_path: Path) -> None:
    root = shared / "data" / "camvid"
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        words = ["evaluate", "camvid", "--url", server.grpc_url, "--format", "camvid"]
        words += ["--dataset", str(root), "-o", str(tmp_path)]
        outcome = CliRunner().invoke(cli, words)
        assert outcome.exit_code == 0, outcome.output
        seen = []
        with SegmentationClient(server.grpc_url, model="camvid") as client:
            for picture in sorted((root / "test").glob("*.png")):
                result = client.segment(picture, confidence=True)
                labels = np.asarray(Image.open(root / "test_labels" / picture.name)).astype(int)
                seen.append(
                    Seen(labels=labels, class_map=result.class_map, confidence=result.confidence)
                )
    (model,) = json.loads((tmp_path / "report.json").read_text())["figures"]["models"]
    expected = independent_figures.figures(seen, len(CAMVID_CLASSES), UNLABELLED)
    for name in (
        "mean_iou", "pixel_accuracy", "mean_class_accuracy", "frequency_weighted_iou",
        "mean_boundary_iou",
    ):  # fmt: skip
        print(f"{name} {model[name]!r}, independently {expected[name]!r}")  # noqa: T201
        assert model[name] == pytest.approx(expected[name], abs=1e-9), name
    error = independent_figures.calibration_error(seen, UNLABELLED)
    assert model["calibration_error"] == pytest.approx(error, abs=1e-9)
    assert model["confusion"] == expected["confusion"]
    print(outcome.output)  # noqa: T201
    iou = [entry["iou"] for entry in model["classes"]]
    assert iou == pytest.approx(UPSTREAM_IOU, abs=0.003)
    assert model["mean_iou"] == pytest.approx(0.560688, abs=0.002)
    low, high = model["mean_iou_interval"]
    assert low < 0.560688 < high
