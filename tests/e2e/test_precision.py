"""Real photographs through a real Triton: what fp16 and int8 lose, and that the gate knows.

The photographs and weights are in the shared folder, which does not ship.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tritonseg import SegmentationClient
from tritonseg_engines import zoo
from tritonseg_engines.build.model import BuildReport, build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.gate import GateError
from tritonseg_engines.gate.metrics import ConfusionMatrix
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.spec import InputSpec, ModelSpec, voc_palette

pytest.importorskip("torch", reason="exporting the trained weights needs torch")

MODEL = "hrnetv2-w18-small-v1-cityscapes"
CLASSES = "Sky Building Pole Road Pavement Tree SignSymbol Fence Car Pedestrian Bicyclist".split()  # noqa: SIM905
UNLABELLED = 11
UPSTREAM_MEAN_IOU = 0.560688
SIZE_HW = (360, 480)


def camvid_spec() -> ModelSpec:
    return replace(
        zoo.get_spec(MODEL),
        name="camvid",
        input=InputSpec(name="image", height=SIZE_HW[0], width=SIZE_HW[1]),
        classes=tuple(CLASSES),
        palette=voc_palette(len(CLASSES)),
        ignore_index=UNLABELLED,
    )


@pytest.fixture(scope="module")
def camvid(shared: Path) -> Path:
    return shared / "data" / "camvid"


@pytest.fixture(scope="module")
def some(camvid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fourth photograph, where the figure itself is not the point."""
    folder = tmp_path_factory.mktemp("some")
    for part in ("calibration", "test", "test_labels"):
        (folder / part).mkdir()
        for path in sorted((camvid / part).glob("*.png"))[::4]:
            (folder / part / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def export(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tritonseg_engines.checkpoints import read_checkpoint
    from tritonseg_engines.zoo.export import export_onnx

    network = zoo.build_network(MODEL, len(CLASSES))
    weights = shared / "data" / "weights" / "hrnetv2_w18_small_v1_camvid11.pth"
    zoo.load_upstream(network, read_checkpoint(weights))
    path = tmp_path_factory.mktemp("camvid") / "camvid.onnx"
    export_onnx(network, path, size_hw=SIZE_HW)
    return path


def build(
    export: Path, camvid: Path, repository: Path, precision: str, **more: object
) -> BuildReport:
    options = BuildOptions(
        calibration=camvid / "calibration",
        pictures=camvid / "test",
        labels=camvid / "test_labels",
        **more,
    )
    return build_model(camvid_spec(), export, repository, precision=precision, options=options)


def served_mean_iou(repository: Path, camvid: Path) -> float:
    matrix = ConfusionMatrix(len(CLASSES), ignore_index=UNLABELLED)
    with (
        TritonServer(ServerConfig(repositories=(repository,))) as server,
        SegmentationClient(server.grpc_url, model="camvid") as client,
    ):
        for path in sorted((camvid / "test").glob("*.png")):
            labels = np.asarray(Image.open(camvid / "test_labels" / path.name))
            matrix.add(labels, client.segment(path).class_map)
    return matrix.mean_iou


def test_fp16_loses_nothing(export: Path, camvid: Path, tmp_path: Path) -> None:
    report = build(export, camvid, tmp_path / "repository", "fp16")
    engine = tmp_path / "repository" / "camvid" / "1" / "model.onnx"
    assert engine.stat().st_size < 0.55 * export.stat().st_size
    assert report.gate.comparison.equal_pixels >= 0.999
    mean_iou = served_mean_iou(tmp_path / "repository", camvid)
    assert mean_iou == pytest.approx(UPSTREAM_MEAN_IOU, abs=0.001)
    # The gate ran what the server runs: the same masks, therefore the same figure.
    assert mean_iou == pytest.approx(report.gate.comparison.built_miou, abs=1e-6)


@pytest.mark.int8_cpu
def test_int8_of_all_layers_is_refused_and_the_costly_ones_named(
    export: Path, some: Path, tmp_path: Path
) -> None:
    """OpenVINO quantizes before the Concat whose result this layer reads."""
    with pytest.raises(GateError, match=r"costliest layers: /last_layer/last_layer\.0/Conv"):
        build(export, some, tmp_path / "repository", "int8", minimum_pictures=8)
    assert not (tmp_path / "repository").exists()
    assert (tmp_path / "camvid.int8.refused.html").is_file()


@pytest.mark.int8_cpu
def test_int8_with_a_few_layers_left_out_passes(export: Path, camvid: Path, tmp_path: Path) -> None:
    """The layers that `--max-miou-drop` finds, named here so that the test need not search."""
    report = build(
        export,
        camvid,
        tmp_path / "repository",
        "int8",
        keep_fp32=("/conv1/Conv", "/conv2/Conv", "/last_layer/*"),
    )
    engine = tmp_path / "repository" / "camvid" / "1" / "model.onnx"
    assert engine.stat().st_size < 0.4 * export.stat().st_size
    mean_iou = served_mean_iou(tmp_path / "repository", camvid)
    assert mean_iou >= UPSTREAM_MEAN_IOU - 0.01
    assert mean_iou == pytest.approx(report.gate.comparison.built_miou, abs=1e-6)
    assert report.gate.comparison.equal_pixels >= 0.985


def test_the_typed_onnx_for_tensorrt_passes_with_half_in_between(
    export: Path, some: Path, tmp_path: Path
) -> None:
    options = BuildOptions(
        calibration=some / "calibration", minimum_pictures=8, pictures=some / "test"
    )
    report = build_model(
        camvid_spec(),
        export,
        tmp_path / "repository",
        precision="int8",
        runtime="tensorrt",
        options=options,
    )
    assert report.model == tmp_path / "camvid.int8.onnx"
    assert report.gate.facts["read by TensorRT"] == "10, 11"
    assert report.gate.comparison.equal_pixels >= 0.985
