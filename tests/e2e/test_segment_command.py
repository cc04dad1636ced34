"""`tritonseg segment` against a real Triton: what it writes, and what it leaves alone."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from demo_model.scenes import draw_scene
from tritonseg import SegmentationClient
from tritonseg_engines.cli.app import cli
from tritonseg_engines.serving import TritonServer


def street(seed: int) -> np.ndarray:
    return draw_scene(seed, height=96, width=160).image_hwc


def segment(server: TritonServer, *arguments: object) -> Result:
    words = ["segment", *map(str, arguments), "--model", "street-demo", "--url", server.grpc_url]
    return CliRunner().invoke(cli, words)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@contextmanager
def no_room(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_pictures_of_one_name_keep_their_own_results(
    demo_server: TritonServer, client: SegmentationClient, tmp_path: Path
) -> None:
    for folder, seed in (("a", 6), ("b", 7)):
        (tmp_path / folder).mkdir()
        Image.fromarray(street(seed)).save(tmp_path / folder / "1.png")
    pictures = [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"]
    outcome = segment(demo_server, *pictures, "-o", tmp_path / "out", "--json")
    assert outcome.exit_code == 0, outcome.output
    assert names(tmp_path / "out") == {
        f"{folder}/1{suffix}"
        for folder in "ab"
        for suffix in (".png", ".color.png", ".overlay.jpg")
    }
    for picture, line in zip(pictures, outcome.stdout.splitlines(), strict=True):
        expected, files = client.segment(picture), json.loads(line)
        for flags in (cv2.IMREAD_UNCHANGED, cv2.IMREAD_GRAYSCALE):
            written = cv2.imread(files["class_map"], flags)
            np.testing.assert_array_equal(written, expected.class_map)
        colors = cv2.imread(files["color_map"])[..., ::-1]
        np.testing.assert_array_equal(colors, np.array(expected.palette)[expected.class_map])
        assert cv2.imread(files["overlay"]).shape == (96, 160, 3)


def test_a_second_run_and_the_pictures_own_folder(
    demo_server: TritonServer, tmp_path: Path
) -> None:
    picture = tmp_path / "street.png"
    Image.fromarray(street(6)).save(picture)
    before = picture.read_bytes()
    assert segment(demo_server, picture, "-o", tmp_path).exit_code == 0
    again = segment(demo_server, picture, "-o", tmp_path)
    assert again.exit_code == 1
    assert "street.png.png and 2 more would be replaced: give --overwrite" in again.output
    assert segment(demo_server, picture, "-o", tmp_path, "--overwrite").exit_code == 0
    assert picture.read_bytes() == before
    assert names(tmp_path) == {
        "street.png", "street.png.png", "street.png.color.png", "street.png.overlay.jpg",
    }  # fmt: skip


@pytest.mark.parametrize("size", [16, 400])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    size: int, demo_server: TritonServer, tmp_path: Path
) -> None:
    picture = tmp_path / "street.png"
    Image.fromarray(street(6)).save(picture)
    with no_room(size):
        outcome = segment(demo_server, picture, "-o", tmp_path / "out")
    assert outcome.exit_code == 1
    (line,) = outcome.output.splitlines()
    assert line.startswith(f"Error: {tmp_path / 'out'}: results cannot be written there: File too")
    for path in (tmp_path / "out").iterdir():
        assert not path.name.startswith(".")
        Image.open(path).load()
