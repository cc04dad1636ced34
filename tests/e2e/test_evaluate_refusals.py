"""What `tritonseg evaluate` refuses or notices, against a server that can be made to misbehave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageOps

from tritonseg.testing import FakeTriton
from tritonseg_engines.cli.app import cli

CLASSES = ("road", "car", "sky")
COUNT = 6


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    with FakeTriton(classes=CLASSES) as triton:
        yield triton


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures whose red value is the class, and labels that are right but for a row."""
    random = np.random.default_rng(5)
    for kind in ("images", "labels"):
        (tmp_path / "set" / kind).mkdir(parents=True)
    for index in range(COUNT):
        pixels = random.integers(0, 3, (20, 30, 3), np.uint8)
        labels = pixels[..., 0].copy()
        labels[:2] = 0
        Image.fromarray(pixels).save(tmp_path / "set" / "images" / f"{index}.png")
        Image.fromarray(labels).save(tmp_path / "set" / "labels" / f"{index}.png")
    return tmp_path / "set"


def evaluate(triton: FakeTriton, folder: Path, *more: object) -> Result:
    words = ["evaluate", "street-demo", "--url", triton.url, "--format", "folders"]
    words += map(str, ["--dataset", folder, "-o", folder.parent / "out", *more])
    return CliRunner().invoke(cli, words)


def test_a_model_that_is_replaced_ends_the_run(triton: FakeTriton, folder: Path) -> None:
    def mask(image_hwc: np.ndarray) -> np.ndarray:
        if len(triton.requests) == 3:
            document = json.loads(triton.parameters["tritonseg_provenance"])
            document["onnx_sha256"] = "1" * 64
            triton.parameters["tritonseg_provenance"] = json.dumps(document)
            triton.parameters["tritonseg_digest"] = json.dumps("2" * 64)
        return np.asarray(image_hwc[..., 0] % 3, np.uint8)

    triton.mask = mask
    outcome = evaluate(triton, folder, "--in-flight", 1)
    assert outcome.exit_code == 1
    assert "was replaced during the run, another onnx_sha256" in outcome.output
    again = evaluate(triton, folder, "--resume")
    assert again.exit_code == 1
    assert "expected a run that goes on, got one of another onnx_sha256" in again.output


def test_a_picture_that_fails_stops_and_can_be_resumed(triton: FakeTriton, folder: Path) -> None:
    def mask(image_hwc: np.ndarray) -> np.ndarray:
        if len(triton.requests) > 3:
            raise ValueError("out of luck")
        return np.asarray(image_hwc[..., 0] % 3, np.uint8)

    triton.mask = mask
    outcome = evaluate(triton, folder, "--in-flight", 1)
    assert outcome.exit_code == 1
    assert "3.png: " in outcome.output
    assert "--resume goes on from there" in outcome.output
    triton.mask = lambda image_hwc: np.asarray(image_hwc[..., 0] % 3, np.uint8)
    outcome = evaluate(triton, folder, "--resume")
    assert outcome.exit_code == 0, outcome.output


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("is_square", [False, True])
def test_a_picture_that_exif_turns(
    turned: int, is_square: bool, triton: FakeTriton, folder: Path
) -> None:
    """Labels as displayed; only a quarter turn of what is not square shows in the size."""
    exif = Image.Exif()
    exif[0x0112] = turned
    pixels = np.zeros((20, 20 if is_square else 30, 3), np.uint8)
    pixels[:9] = 1
    Image.fromarray(pixels).save(folder / "images" / "0.png", exif=exif)
    displayed = ImageOps.exif_transpose(Image.open(folder / "images" / "0.png"))
    Image.fromarray(np.asarray(displayed)[..., 0]).save(folder / "labels" / "0.png")
    outcome = evaluate(triton, folder)
    is_told = turned == 1 or (turned > 4 and not is_square)
    assert outcome.exit_code == (0 if is_told else 1), outcome.output
    assert is_told or f"0.png: EXIF turns or mirrors this picture (orientation {turned})" in (
        outcome.output
    )


def test_nothing_is_called_kept_where_nothing_was_counted(triton: FakeTriton, folder: Path) -> None:
    triton.fail(grpc.StatusCode.INVALID_ARGUMENT, "no")
    outcome = evaluate(triton, folder)
    assert outcome.exit_code == 1
    assert "--resume" not in outcome.output
    assert list((folder.parent / "out").iterdir()) == []


def test_a_shift_is_told(triton: FakeTriton, folder: Path) -> None:
    triton.mask = lambda image_hwc: np.asarray(image_hwc[..., 0] % 2, np.uint8)
    for file in (folder / "images").iterdir():
        pixels = np.asarray(Image.open(file)).copy()
        Image.fromarray(pixels[..., 0] % 2 + 1).save(folder / "labels" / file.name)
    outcome = evaluate(triton, folder)
    assert outcome.exit_code == 1
    assert "the class is the label -1 in 100.0% of the pixels" in outcome.output


def test_classes_in_another_order_are_compared_by_name(triton: FakeTriton, folder: Path) -> None:
    with FakeTriton(classes=CLASSES[::-1]) as other:
        other.mask = lambda image_hwc: np.asarray(2 - image_hwc[..., 0] % 3, np.uint8)
        outcome = evaluate(triton, folder, "--compare", f"={other.url}")
    assert outcome.exit_code == 0, outcome.output
    assert "gives the masks of" in outcome.output


def test_other_classes_are_not_compared(triton: FakeTriton, folder: Path) -> None:
    with FakeTriton(classes=("road", "car", "tree")) as other:
        outcome = evaluate(triton, folder, "--compare", f"={other.url}")
    assert outcome.exit_code == 1
    assert "model 'street-demo' alone has tree; the model alone has sky" in outcome.output
    assert "evaluate each by itself" in outcome.output
    assert "--label-map" not in outcome.output


@pytest.mark.parametrize("text", ["", "a@", "a@x", "@0", "a=", "street-demo"])
def test_models_to_compare_that_are_none(text: str, triton: FakeTriton, folder: Path) -> None:
    outcome = evaluate(triton, folder, "--compare", text)
    assert outcome.exit_code in {1, 2}
    if text != "street-demo":
        assert "expected NAME, NAME@VERSION" in outcome.output
    assert not triton.requests


def test_a_header_is_for_one_server(triton: FakeTriton, folder: Path) -> None:
    outcome = evaluate(triton, folder, "--compare", "=localhost:9", "--header", "key=secret")
    assert outcome.exit_code == 1
    assert "would be shown to localhost:9 as well" in outcome.output
    assert not sum(triton.calls.values())


def test_a_report_is_not_replaced_unasked(triton: FakeTriton, folder: Path) -> None:
    assert evaluate(triton, folder).exit_code == 0
    before = (folder.parent / "out" / "report.json").read_bytes()
    outcome = evaluate(triton, folder)
    assert outcome.exit_code == 1
    assert "would be replaced: give --overwrite" in outcome.output
    assert (folder.parent / "out" / "report.json").read_bytes() == before
    assert evaluate(triton, folder, "--overwrite").exit_code == 0


def test_masks_that_do_not_repeat_are_told(triton: FakeTriton, folder: Path) -> None:
    triton.mask = lambda image_hwc: np.full(
        image_hwc.shape[:2], len(triton.requests) > COUNT, np.uint8
    )
    outcome = evaluate(triton, folder)
    assert outcome.exit_code == 0, outcome.output
    assert "the server gave other masks when it was asked once more" in outcome.output


def test_no_server_is_one_line(folder: Path) -> None:
    words = ["evaluate", "m", "--url", "localhost:9", "--timeout", "1", "--format", "folders"]
    words += ["--dataset", str(folder), "-o", str(folder.parent / "out")]
    outcome = CliRunner().invoke(cli, words)
    assert outcome.exit_code == 1
    assert grpc.__name__ not in outcome.output
    assert "localhost:9" in outcome.output
