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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures, one below, a file that is no picture, and one that only looks like one."""
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "b.jpg", "c.PNG", "below/d.png")):
        Image.fromarray(street(seed)).save(folder / name)
    (folder / "notes.txt").write_text("of the road")
    return folder


def test_a_folder_and_a_picture_that_is_none(
    demo_server: TritonServer, client: SegmentationClient, folder: Path, tmp_path: Path
) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG and no more")
    outcome = segment(demo_server, folder, "-o", tmp_path / "out", "--json", "--in-flight", 2)
    assert outcome.exit_code == 1
    broken = folder / "broken.png"
    last = f"Error: 1 of 5 pictures could not be segmented: {broken}"
    assert outcome.stderr.splitlines()[-1] == last
    assert f"{folder / 'broken.png'}" in outcome.stderr.splitlines()[0]
    lines = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert [Path(line["image"]).name for line in lines] == [
        "a.png", "b.jpg", "d.png", "broken.png", "c.PNG",
    ]  # fmt: skip
    (failure,) = (line for line in lines if "error" in line)
    assert failure["kind"] == "ImageDecodeError"
    for line in lines:
        if line is not failure:
            expected = client.segment(line["image"]).class_map
            written = cv2.imread(line["class_map"], cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(written, expected)


def test_what_was_interrupted_goes_on(
    demo_server: TritonServer, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert segment(demo_server, folder, "-o", out).exit_code == 0
    (out / "b.png").unlink()
    kept = (out / "a.png").stat().st_mtime_ns
    outcome = segment(demo_server, folder, "-o", out, "--resume")
    assert (outcome.exit_code, len(outcome.stdout.splitlines())) == (0, 1)
    assert outcome.stdout.startswith(str(folder / "b.jpg"))
    assert outcome.stderr == "3 of 4 pictures are done\n"
    assert (out / "a.png").stat().st_mtime_ns == kept
    again = segment(demo_server, folder, "-o", out, "--resume")
    assert (again.exit_code, again.stdout) == (0, "")
    assert again.stderr == "4 of 4 pictures are done\n"


def test_results_of_another_picture_or_maker_are_not_taken_for_done(
    demo_server: TritonServer, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert segment(demo_server, folder, "-o", out).exit_code == 0
    Image.fromarray(street(9)).save(folder / "a.png")
    Image.open(out / "b.png").save(out / "b.png")  # by somebody else, who does not say of what
    outcome = segment(demo_server, folder, "-o", out, "--resume")
    assert [Path(line.partition(":")[0]).name for line in outcome.stdout.splitlines()] == [
        "a.png", "b.jpg",
    ]  # fmt: skip
    words = ["segment", str(folder), "--model", "nope", "--url", demo_server.grpc_url]
    other = CliRunner().invoke(cli, [*words, "-o", str(out), "--resume"])
    assert (other.exit_code, other.stdout) == (1, "")


def test_large_pictures_in_tiles(demo_server: TritonServer, tmp_path: Path) -> None:
    """The demo model scales pictures, so tiles are finer than the whole; the command says so."""
    picture = tmp_path / "large.png"
    Image.fromarray(draw_scene(6, height=600, width=1200).image_hwc).save(picture)
    out = tmp_path / "out"
    whole = segment(demo_server, picture, "-o", out)
    assert (whole.exit_code, whole.stderr) == (0, "")
    before = np.array(Image.open(out / "large.png"))
    tiled = segment(demo_server, picture, "-o", out, "--resume", "--tiling", "auto")
    assert tiled.exit_code == 0, tiled.output
    assert "0 of 1 pictures are done" in tiled.stderr
    assert "in 4 tiles, which may differ from the whole: the model's resize" in tiled.stderr
    assert (np.array(Image.open(out / "large.png")) != before).any()
    again = segment(demo_server, picture, "-o", out, "--resume", "--tiling", "auto")
    assert "1 of 1 pictures are done" in again.stderr
    small = segment(demo_server, picture, "-o", tmp_path / "no", "--max-megapixels", "1")
    assert small.exit_code == 0


def test_results_within_the_folder_are_no_pictures(demo_server: TritonServer, folder: Path) -> None:
    assert segment(demo_server, folder, "-o", folder / "out").exit_code == 0
    before = names(folder)
    assert segment(demo_server, folder, "-o", folder / "out", "--overwrite").exit_code == 0
    assert names(folder) == before
    refused = segment(demo_server, folder, "-o", folder)
    assert refused.exit_code == 1
    assert "is the folder for the results as well" in refused.output


def test_a_folder_without_pictures(demo_server: TritonServer, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outcome = segment(demo_server, tmp_path / "empty", "-o", tmp_path / "out")
    assert (outcome.exit_code, "holds no picture (.png, " in outcome.output) == (1, True)


def test_a_server_that_is_not_there_is_said_once(folder: Path, tmp_path: Path) -> None:
    words = [str(folder), "--model", "m", "--url", "127.0.0.1:9", "-o", str(tmp_path / "out")]
    outcome = CliRunner().invoke(cli, ["segment", *words, "--timeout", "2"])
    assert outcome.exit_code == 1
    (line,) = outcome.stderr.splitlines()
    assert "no connection" in line
