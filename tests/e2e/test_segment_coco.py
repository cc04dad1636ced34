"""`tritonseg segment --coco`: a data set that pycocotools reads, equal to the class maps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from pycocotools.coco import COCO

from tritonseg.testing import FakeTriton
from tritonseg_engines.cli.app import cli

CLASSES = ("road", "car", "sky", "tree")


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    with FakeTriton(classes=CLASSES) as triton:
        yield triton


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(5)
    for name in ("a", "b", "c"):
        pixels = random.integers(0, 256, (9, 13, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def segment(triton: FakeTriton, folder: Path, *arguments: object) -> Result:
    words = ["segment", folder, "--model", "street-demo", "--url", triton.url, *arguments]
    words += ["-o", folder.parent / "out", "--coco", folder.parent / "coco.json"]
    return CliRunner().invoke(cli, [str(word) for word in words])


def class_maps(data_set: Path) -> dict[str, np.ndarray]:
    """What pycocotools makes of a data set, by the picture's name."""
    coco = COCO(data_set)
    maps = {}
    for image in coco.loadImgs(coco.getImgIds()):
        class_map = np.full((image["height"], image["width"]), 255, np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds(image["id"])):
            mask = coco.annToMask(annotation).astype(bool)
            assert (class_map[mask] == 255).all()
            class_map[mask] = annotation["category_id"]
            assert annotation["area"] == mask.sum()
        maps[Path(image["file_name"]).stem] = class_map
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    return maps


def written(folder: Path) -> dict[str, np.ndarray]:
    files = (folder.parent / "out").glob("?.png")
    return {file.stem: np.asarray(Image.open(file)) for file in files}


def test_holds_every_class_map(triton: FakeTriton, folder: Path) -> None:
    outcome = segment(triton, folder)
    assert outcome.exit_code == 0, outcome.output
    found, expected = class_maps(folder.parent / "coco.json"), written(folder)
    assert found.keys() == expected.keys() == {"a", "b", "c"}
    assert all(np.array_equal(found[name], expected[name]) for name in found)


def test_holds_what_was_done_before(triton: FakeTriton, folder: Path) -> None:
    (folder / "b.png").rename(folder.parent / "later.png")
    assert segment(triton, folder).exit_code == 0
    (folder.parent / "later.png").rename(folder / "b.png")
    outcome = segment(triton, folder, "--resume")
    assert outcome.exit_code == 0, outcome.output
    assert len(triton.requests) == 3
    assert class_maps(folder.parent / "coco.json").keys() == {"a", "b", "c"}


def test_leaves_out_what_failed(triton: FakeTriton, folder: Path) -> None:
    (folder / "b.png").write_bytes(b"no picture")
    outcome = segment(triton, folder)
    assert outcome.exit_code == 1
    assert class_maps(folder.parent / "coco.json").keys() == {"a", "c"}


def test_takes_no_files_place(triton: FakeTriton, folder: Path) -> None:
    data_set = folder.parent / "coco.json"
    data_set.write_text("of somebody")
    outcome = segment(triton, folder)
    assert outcome.exit_code == 1
    assert f"{data_set} would be replaced" in outcome.output
    assert data_set.read_text() == "of somebody"
    assert not triton.requests
    assert segment(triton, folder, "--overwrite").exit_code == 0
    assert len(json.loads(data_set.read_text())["images"]) == 3
