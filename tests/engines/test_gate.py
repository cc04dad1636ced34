"""The gate: its figures are right, it refuses what it should, and nothing is written then."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from residual_network import CLASSES, SIZE_HW, residual_network, residual_spec, write_pictures
from tritonseg_engines.build import precision as build_precision
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.build.pictures_choice import PictureChoice
from tritonseg_engines.errors import CalibrationError
from tritonseg_engines.gate import (
    THRESHOLDS,
    Comparison,
    GateError,
    Thresholds,
    compare,
    failures,
    run_reference,
)
from tritonseg_engines.gate.worst_pictures import WorstPictures
from tritonseg_engines.precision.conversion import Converted
from tritonseg_engines.running.networks import ServerSteps
from tritonseg_engines.running.pictures import Picture, Pictures, picture_folder
from tritonseg_engines.spec import voc_palette
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.preprocessing import Preprocessing
from tritonseg_steps.upsampling import Upsampling

IDENTITY = Preprocessing(mean=(0.0,) * 3, scale=(1.0,) * 3)


def scores_from_red(shift: int = 0):
    """A network whose class is the red value, plus one where green says so."""

    def infer(batch_nchw: np.ndarray) -> np.ndarray:
        classes = (batch_nchw[:, 0] + shift * (batch_nchw[:, 1] > 0)).astype(int)
        return np.eye(CLASSES, dtype=np.float32)[classes].transpose(0, 3, 1, 2)

    return infer


def hand_made() -> Pictures:
    """Two pictures of 4x4; 3 of 32 pixels get another class with `shift=1`."""
    red = np.arange(16).reshape(4, 4) % 3
    green = np.zeros((4, 4))
    green.flat[[0, 1, 3]] = 1
    images = [np.stack([red, g, 0 * red], axis=-1).astype(np.uint8) for g in (green, 0 * green)]
    labels = red.astype(np.uint8)
    labels.flat[15] = 255

    def read(index: int) -> Picture:
        return Picture(name=f"picture {index}", image_hwc=images[index], labels_hw=labels)

    return Pictures("made by hand", read, 2, labelled=True)


def compared(shift: int) -> Comparison:
    steps = ServerSteps(IDENTITY, Upsampling(), NetworkSizes(height=4, width=4), class_count=3)
    reference = run_reference(scores_from_red(), steps, hand_made())
    names = [f"class {index}" for index in range(CLASSES)]
    return compare(reference, scores_from_red(shift), names, ignore_index=255)


def test_figures_are_those_counted_by_hand() -> None:
    comparison = compared(shift=1)
    assert comparison.equal_pixels == 29 / 32
    assert [p.equal_pixels for p in comparison.pictures] == [13 / 16, 1.0]
    red = np.tile(np.arange(16) % 3, 2)
    moved = red.copy()
    moved[[0, 1, 3]] += 1
    for index, figures in enumerate(comparison.classes):
        a, b = red == index, moved == index
        union = (a | b).sum()
        assert figures.reference_pixels == a.sum()
        assert figures.built_pixels == b.sum()
        assert figures.agreement_iou == pytest.approx((a & b).sum() / union) if union else True
        counted = np.ones(32, bool)
        counted[[15, 31]] = False
        truth = a & counted
        got = (truth & b).sum() / ((truth | (b & counted)).sum() or np.nan)
        if figures.built_iou is not None:
            assert figures.built_iou == pytest.approx(got)
    assert comparison.reference_miou == 1.0
    assert comparison.classes[3].agreement_iou is None
    assert comparison.miou_drop_points == pytest.approx(100 * (1 - comparison.built_miou))


def test_equal_networks_pass_every_bound() -> None:
    comparison = compared(shift=0)
    assert comparison.equal_pixels == comparison.agreement_miou == 1
    for thresholds in THRESHOLDS.values():
        assert failures(comparison, thresholds) == ()


def test_each_bound_fails_by_itself() -> None:
    comparison = compared(shift=1)
    drop = comparison.miou_drop_points
    assert drop is not None
    loose = Thresholds(equal_pixels=0.5, miou_drop_points=100)
    assert failures(comparison, loose) == ()
    pixels = failures(comparison, Thresholds(equal_pixels=0.95, miou_drop_points=100))
    assert len(pixels) == 1
    assert "95.00% of the pixels" in pixels[0]
    assert "90.625%" in pixels[0]
    points = failures(comparison, Thresholds(equal_pixels=0.5, miou_drop_points=drop / 2))
    assert len(points) == 1
    assert "labelled mIoU" in points[0]


def test_a_class_of_no_number_is_a_failure() -> None:
    """A comparison against nothing must not pass for lack of a figure."""
    comparison = Comparison(
        origin="none",
        pictures=(),
        classes=(),
        equal_pixels=float("nan"),
        agreement_miou=float("nan"),
        reference_miou=0.5,
        built_miou=float("nan"),
    )
    assert len(failures(comparison, THRESHOLDS["int8"])) == 2


@pytest.fixture
def export(tmp_path: Path) -> Path:
    onnx.save(residual_network(), tmp_path / "export.onnx")
    return tmp_path / "export.onnx"


@pytest.fixture
def damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversion that gets one weight of the last layer wrong."""

    def convert(network: onnx.ModelProto, *_: object) -> Converted:
        model = onnx.ModelProto.FromString(network.SerializeToString())
        bias = next(v for v in model.graph.initializer if v.name == "SCORES.bias")
        values = numpy_helper.to_array(bias) + np.array([2.0, 0, 0, 0], np.float32)
        bias.CopyFrom(numpy_helper.from_array(values, bias.name))
        return Converted(model=model, kept_float={})

    monkeypatch.setattr(build_precision, "convert_to_half", convert)


def build(export: Path, *, runtime: str = "openvino", **options: object):
    return build_model(
        residual_spec(),
        export,
        export.parent / "repository",
        precision="fp16",
        runtime=runtime,
        options=BuildOptions(**options),
    )


@pytest.mark.usefixtures("damaged")
@pytest.mark.parametrize("runtime", ["openvino", "tensorrt"])
def test_a_damaged_network_is_refused_and_nothing_but_a_report_written(
    export: Path, runtime: str
) -> None:
    pictures = write_pictures(export.parent / "pictures", 4)
    with pytest.raises(GateError, match="worst classes: class") as raised:
        build(export, runtime=runtime, pictures=pictures)
    assert "\n" not in str(raised.value)
    assert sorted(path.name for path in export.parent.iterdir()) == [
        "export.onnx",
        "pictures",
        "residual.fp16.refused.html",
        "residual.fp16.refused.json",
    ]
    report = json.loads((export.parent / "residual.fp16.refused.json").read_text())
    assert report["verdict"] == "refused"
    assert report["equal_pixels"] < 0.999
    assert len(report["per_picture"]) == 4
    page = (export.parent / "residual.fp16.refused.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 16
    assert "http" not in page


@pytest.mark.usefixtures("damaged")
def test_accept_builds_it_and_is_recorded(export: Path) -> None:
    report = build(export, accept=True)
    manifest = json.loads((report.model / "1" / "manifest.json").read_text())
    assert manifest["gate"]["verdict"] == "accepted"
    assert manifest["gate"]["failures"]
    assert json.loads((report.model / "1" / "report.json").read_text())["verdict"] == "accepted"
    assert "accepted by --accept" in (report.model / "1" / "report.html").read_text()


def test_a_good_network_passes_and_says_what_it_was_judged_on(export: Path) -> None:
    report = build(export)
    assert report.gate.verdict == "passed"
    page = report.report.read_text()
    assert "smooth noise, because no pictures were given" in page
    assert (
        json.loads((report.model / "1" / "manifest.json").read_text())["gate"]["verdict"]
        == "passed"
    )


@pytest.mark.parametrize(
    ("runtime", "onnx_only", "note"),
    [("openvino", True, "as asked"), ("tensorrt", False, "on the GPU that runs it: no GPU")],
)
def test_stopping_at_the_onnx(export: Path, runtime: str, onnx_only: bool, note: str) -> None:
    report = build(export, runtime=runtime, onnx_only=onnx_only)
    assert report.model == export.parent / "residual.fp16.onnx"
    assert report.note is not None
    assert note in report.note
    onnx.checker.check_model(onnx.load(report.model), full_check=True)
    assert not (export.parent / "repository").exists()
    assert report.report.is_file()


def test_labels_are_read_and_judged(export: Path) -> None:
    pictures = write_pictures(export.parent / "pictures", 3)
    labels = export.parent / "labels"
    labels.mkdir()
    for path in pictures.iterdir():
        Image.fromarray(np.full(SIZE_HW, 1, np.uint8)).save(labels / path.name)
    report = build(export, pictures=pictures, labels=labels)
    assert report.gate.comparison.reference_miou is not None
    assert "mIoU of the built network against labels" in report.report.read_text()


def test_pictures_that_cannot_be_used_are_named(export: Path) -> None:
    folder = write_pictures(export.parent / "pictures", 2)
    labels = export.parent / "labels"
    labels.mkdir()
    Image.fromarray(np.full(SIZE_HW, 1, np.uint8)).save(labels / "000.png")
    with pytest.raises(CalibrationError, match=r"001.png: expected its labels at .*001.png"):
        build(export, pictures=folder, labels=labels)
    Image.fromarray(np.full((3, 5), 1, np.uint8)).save(labels / "001.png")
    with pytest.raises(
        CalibrationError, match=r"labels/001.png: expected labels of 64x96 .* got 3x5"
    ):
        build(export, pictures=folder, labels=labels)
    Image.fromarray(np.full(SIZE_HW, 77, np.uint8)).save(labels / "001.png")
    with pytest.raises(
        CalibrationError, match=r"labels/001.png: .* from 0 to 3, got 77 \(6144 pixels\)"
    ):
        build(export, pictures=folder, labels=labels)
    Image.fromarray(np.zeros((10, 10, 3), np.uint8)).save(folder / "002.png")
    with pytest.raises(CalibrationError, match=r"002.png: .* pictures of 64x96 .* got 10x10"):
        build(export, pictures=folder)
    (folder / "002.png").write_bytes(b"no picture")
    with pytest.raises(CalibrationError, match=r"002.png': expected a picture"):
        build(export, pictures=folder)
    with pytest.raises(CalibrationError, match=r"expected pictures .* found none"):
        build(export, pictures=labels.parent / "labels" / "..")
    with pytest.raises(CalibrationError, match="expected the pictures that they belong to"):
        BuildOptions(labels=labels)


def test_a_folder_is_read_picture_by_picture_in_order(tmp_path: Path) -> None:
    pictures = picture_folder(write_pictures(tmp_path, 5))
    assert [picture.name for picture in pictures] == [f"{i:03}.png" for i in range(5)]
    assert [picture.name for picture in pictures[::2]] == ["000.png", "002.png", "004.png"]
    assert len(pictures[::2]) == 3
    with pytest.raises(IndexError):
        pictures[5]


def test_without_other_pictures_calibration_ones_are_used_and_that_is_said(tmp_path: Path) -> None:
    onnx.save(residual_network(), tmp_path / "export.onnx")
    options = BuildOptions(calibration=write_pictures(tmp_path / "pictures", 2))
    choice = PictureChoice(
        options, tmp_path / "export.onnx", NetworkSizes(height=SIZE_HW[0], width=SIZE_HW[1])
    )
    assert "that it was calibrated with" in choice.for_gate("int8").origin


def test_the_worst_pictures_are_shown() -> None:
    worst = WorstPictures(voc_palette(3), count=2)
    for wrong in (1, 5, 0, 3):
        actual = np.zeros((4, 4), np.uint8)
        actual.flat[:wrong] = 1
        image = np.full((4, 4, 3), 100, np.uint8)
        picture = Picture(name=f"{wrong} wrong", image_hwc=image)
        worst.observe(picture, np.zeros((4, 4), np.uint8), actual)
    assert [panel.name for panel in worst.panels] == ["5 wrong", "3 wrong"]
    difference = dict(worst.panels[0].images)["where they differ"]
    assert ((difference != 100).any(axis=-1)).sum() == 5
