"""`tritonseg compare` against a real Triton with two versions of a model."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import numpy_helper
from PIL import Image

from tiny_models import SIZE_HW, TinyModel, tiny_spec
from tritonseg import SegmentationClient
from tritonseg_engines.agreement.run import Comparison
from tritonseg_engines.agreement.run import compare as run_comparison
from tritonseg_engines.agreement.verdict import Bound, verdict_of
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.cli.app import cli
from tritonseg_engines.cli.compared_models import NamedModel, connected
from tritonseg_engines.evaluation.contender import Asked
from tritonseg_engines.serving import ServerConfig, TritonServer

COUNT = 5


def build(repository: Path, version: str | None, scale: float) -> None:
    """A version whose first class scores so many times as much."""
    model = TinyModel().model()
    (weight,) = (one for one in model.graph.initializer if one.name == "weight")
    scaled = numpy_helper.to_array(weight).copy()
    scaled[0] *= scale
    weight.CopyFrom(numpy_helper.from_array(scaled, "weight"))
    export = repository.parent / "export.onnx"
    onnx.save(model, export)
    options = BuildOptions(version=version)
    build_model(tiny_spec(), export, repository, layout="single", options=options)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("versions") / "repository"
    build(repository, None, 1.0)
    build(repository, "2", 1.0)
    build(repository, "3", 1.1)
    with TritonServer(ServerConfig(repositories=(repository,))) as running:
        yield running


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(1)
    for number in range(COUNT):
        image_hwc = random.integers(0, 256, (*SIZE_HW, 3), np.uint8)
        Image.fromarray(image_hwc).save(folder / f"{number}.png")
    return folder


def compare(
    triton: TritonServer, first: str, other: str, pictures: Path, *more: object
) -> tuple[Result, dict[str, Any], Path]:
    output = pictures.parent / "comparison"
    words = [first, other, pictures, "--url", triton.grpc_url, "-o", output, *more]
    outcome = CliRunner().invoke(cli, ["compare", *map(str, words)])
    written = output / "report.json"
    report = json.loads(written.read_text()) if written.exists() else {}
    return outcome, report, output


def test_a_rebuild_of_the_same_export_is_told_as_such(triton: TritonServer, pictures: Path) -> None:
    outcome, report, _ = compare(triton, "tiny@1", "@2", pictures)
    assert outcome.exit_code == 0, outcome.output
    assert "tiny 2, fp32 gives the masks of tiny 1, fp32, every pixel of 5" in outcome.output
    assert report["equal_share"] == 1
    assert report["differing"] == 0


def test_counts_are_those_of_the_masks(triton: TritonServer, pictures: Path) -> None:
    outcome, report, output = compare(triton, "tiny@1", "@3", pictures)
    masks = {}
    with SegmentationClient(triton.grpc_url, model="tiny") as client:
        for version in ("1", "3"):
            results = client.segment_many(sorted(pictures.iterdir()), model_version=version)
            masks[version] = np.stack([result.class_map for _, result in results])
    first, other = masks["1"], masks["3"]
    share = float((first == other).mean())
    assert 0.3 < share < 0.999, "the test needs versions that differ"
    assert report["equal_share"] == pytest.approx(share, abs=1e-12)
    for index, found in enumerate(report["classes"]):
        both = ((first == index) & (other == index)).sum()
        either = ((first == index) | (other == index)).sum()
        assert found["agreement"] == (pytest.approx(both / either) if either else None)
        assert found["first_pixels"] == (first == index).sum()
    assert outcome.exit_code == 1
    last = outcome.output.splitlines()[-1]
    assert last == (f"Error: expected 99.900% of the pixels equal at least, got {share:.3%}")
    with (output / "pictures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    changed = (first != other).sum(axis=(1, 2))
    assert [int(row["changed"]) for row in rows] == changed.tolist()
    page = (output / "report.html").read_text()
    assert page.count("<figure>") == np.count_nonzero(changed)


def test_bounds_of_classes_and_pictures(triton: TritonServer, pictures: Path) -> None:
    loose = ["--min-equal", "1"]
    outcome, *_ = compare(triton, "tiny@1", "@3", pictures, *loose)
    assert outcome.exit_code == 0, outcome.output
    again = [*loose, "--overwrite"]
    for option, told in (("--min-class", "each class"), ("--min-picture", "each picture's pixels")):
        outcome, *_ = compare(triton, "tiny@1", "@3", pictures, *again, option, "99.9")
        assert outcome.exit_code == 1
        assert told in outcome.output.splitlines()[-1]


def test_the_only_model_needs_no_name(triton: TritonServer, pictures: Path) -> None:
    other = triton.grpc_url.replace("127.0.0.1", "localhost")
    outcome, report, _ = compare(triton, f"={triton.grpc_url}", f"={other}", pictures)
    assert outcome.exit_code == 0, outcome.output
    assert [model["name"] for model in report["models"]] == ["tiny", "tiny"]
    assert [model["version"] for model in report["models"]] == ["3", "3"]


def test_a_picture_that_cannot_be_read_keeps_no_bound(triton: TritonServer, pictures: Path) -> None:
    (pictures / "7.png").write_bytes(b"no picture")
    outcome, report, _ = compare(triton, "tiny@1", "@2", pictures)
    assert outcome.exit_code == 1
    assert "1 of 6 pictures cannot be read, first" in outcome.output.splitlines()[-1]
    assert report["compared"] == COUNT
    assert report["is_kept"] is False


def test_a_picture_that_the_server_refuses_keeps_no_bound(
    triton: TritonServer, pictures: Path
) -> None:
    Image.fromarray(np.full(SIZE_HW, 9000, np.uint16)).save(pictures / "7.png")
    outcome, report, output = compare(triton, "tiny@1", "@2", pictures, "--transport", "encoded")
    assert outcome.exit_code == 1
    assert "1 of 6 pictures cannot be read, first" in outcome.output.splitlines()[-1]
    assert report["equal_share"] == 1
    with (output / "pictures.csv").open(newline="") as file:
        *_, row = csv.DictReader(file)
    assert row["pixels"] == "0"
    assert "16" in row["unreadable"]


def test_a_picture_to_which_one_model_has_no_answer_keeps_no_bound(
    triton: TritonServer, pictures: Path
) -> None:
    named = [NamedModel(name="tiny", version=one, url=triton.grpc_url) for one in ("1", "2")]
    with connected(named, Asked(), {"timeout_s": 30.0}) as (first, other):
        comparison = Comparison(first=first, other=other, pictures=sorted(pictures.iterdir()))
        found = run_comparison(comparison)
        verdict = verdict_of(comparison, found, Bound())
        assert verdict.is_kept
        found.failures[2] = (None, "it failed")
        verdict = verdict_of(comparison, found, Bound())
    assert not verdict.is_kept
    assert verdict.sentences[0] == (
        f"tiny 2, fp32 gave no mask to 1 of 5 pictures, first to {pictures / '2.png'}: it failed"
    )


@pytest.mark.parametrize(
    ("first", "other", "told"),
    [
        ("tiny@1", "@1", "is the first model itself"),
        ("tiny@1", "@9", "model 'tiny' version 9"),
        ("", "@2", "expected NAME"),
        ("tiny@one", "@2", "expected NAME"),
    ],
)
def test_what_cannot_be_compared(
    first: str, other: str, told: str, triton: TritonServer, pictures: Path
) -> None:
    outcome, report, output = compare(triton, first, other, pictures)
    assert outcome.exit_code in (1, 2)
    assert told in outcome.output
    assert not report
    assert not output.exists()


def test_a_report_is_not_lost(triton: TritonServer, pictures: Path) -> None:
    compare(triton, "tiny@1", "@2", pictures)
    outcome, *_ = compare(triton, "tiny@1", "@2", pictures)
    assert outcome.exit_code == 1
    assert "would be replaced: give --overwrite" in outcome.output
