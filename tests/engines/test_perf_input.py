"""Input data for perf_analyzer, read back by what its format says and nothing of ours."""

from __future__ import annotations

import base64
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tritonseg import ImageDecodeError
from tritonseg_engines.cli import perf_input_command
from tritonseg_engines.cli.app import cli
from tritonseg_engines.perf_input import write_perf_input
from tritonseg_engines.picture_files import picture_files

RNG = np.random.default_rng(5)
WIDE = RNG.integers(0, 256, (40, 70, 3), np.uint8)
TALL = RNG.integers(0, 256, (90, 30, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures of different sizes, one below, and what is no picture."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    Image.fromarray(TALL).save(folder / "b.png")
    Image.fromarray(WIDE).save(folder / "a.PNG")
    Image.fromarray(WIDE).save(folder / "more" / "c.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["perf-input", *map(str, arguments)])


def steps_of(path: Path) -> list[dict[str, tuple[bytes, list[int]]]]:
    (steps,) = json.loads(path.read_text()).values()
    return [
        {
            name: (base64.b64decode(tensor["content"]["b64"], validate=True), tensor["shape"])
            for name, tensor in step.items()
        }
        for step in steps
    ]


def test_pixels_of_a_folder(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "input.json"
    outcome = run(folder, "-o", output)
    assert outcome.exit_code == 0, outcome.output
    assert steps_of(output) == [
        {"IMAGE": (WIDE.tobytes(), [40, 70, 3])},
        {"IMAGE": (TALL.tobytes(), [90, 30, 3])},
        {"IMAGE": (WIDE.tobytes(), [40, 70, 3])},
    ]
    assert f"wrote {output}: 3 pictures, 0.0 MiB" in outcome.output
    line = f"perf_analyzer -m MODEL -u localhost:8001 -i grpc --input-data {output}"
    assert outcome.output.splitlines()[-1] == f"next: {line}"


def test_a_picture_is_written_as_it_is_displayed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees, clockwise
    Image.fromarray(WIDE).save(tmp_path / "turned.png", exif=exif)
    write_perf_input([tmp_path / "turned.png"], tmp_path / "input.json")
    (step,) = steps_of(tmp_path / "input.json")
    assert step == {"IMAGE": (np.rot90(WIDE, -1).tobytes(), [70, 40, 3])}


def test_files_have_their_length_in_front(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "input.json"
    assert run(folder / "b.png", "-o", output, "--transport", "encoded").exit_code == 0
    ((content, shape),) = steps_of(output)[0].values()
    assert list(steps_of(output)[0]) == ["ENCODED_IMAGE"]
    assert shape == [1]
    assert content[4:] == (folder / "b.png").read_bytes()
    assert struct.unpack("<I", content[:4]) == (len(content) - 4,)


def test_named_files_go_by_no_suffix_and_in_the_order_given(folder: Path, tmp_path: Path) -> None:
    (folder / "b.png").rename(tmp_path / "picture")
    named = [tmp_path / "picture", folder]
    below = folder / "more" / "c.png"
    assert picture_files(named) == [tmp_path / "picture", folder / "a.PNG", below]


@pytest.mark.parametrize("transport", ["raw", "encoded"])
def test_a_broken_picture_leaves_what_was_there(
    folder: Path, tmp_path: Path, transport: str
) -> None:
    content = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(content[: len(content) // 2])
    output = tmp_path / "input.json"
    output.write_text("there before")
    outcome = run(folder, "-o", output, "--overwrite", "--transport", transport)
    assert outcome.exit_code == 1
    assert str(folder / "b.png") in outcome.stderr
    assert output.read_text() == "there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input.json", "pictures"]
    with pytest.raises(ImageDecodeError, match=r"b\.png"):
        write_perf_input([folder / "b.png"], output)


def test_a_file_that_servers_do_not_decode(folder: Path, tmp_path: Path) -> None:
    Image.fromarray(WIDE).save(folder / "a.bmp")
    output = tmp_path / "input.json"
    outcome = run(folder, "-o", output, "--transport", "encoded")
    assert outcome.exit_code == 1
    assert f"image file '{folder / 'a.bmp'}': servers do not decode it" in outcome.stderr
    assert outcome.stderr.strip().endswith("write its pixels, with --transport raw")
    assert not output.exists()
    assert run(folder, "-o", output).exit_code == 0


def test_nothing_is_replaced_unasked(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "input.json"
    output.write_text("there before")
    assert "--overwrite" in run(folder, "-o", output).stderr
    assert output.read_text() == "there before"
    assert run(folder, "-o", output, "--overwrite").exit_code == 0
    assert len(steps_of(output)) == 3


def test_never_a_picture(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(folder / "b.png")
    before = (folder / "b.png").read_bytes()
    outcome = run(folder, "-o", link, "--overwrite")
    assert outcome.exit_code == 1
    assert "is one of the pictures" in outcome.stderr
    assert (folder / "b.png").read_bytes() == before


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    outcome = run(tmp_path, "-o", tmp_path / "input.json")
    assert outcome.exit_code == 1
    assert "expected pictures, found none" in outcome.stderr


def test_a_named_pipe_is_refused_and_not_left_out(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    outcome = run(folder, tmp_path / "pipe", "-o", tmp_path / "input.json")
    assert outcome.exit_code == 1
    assert f"'{tmp_path / 'pipe'}': not a regular file" in outcome.stderr


def test_what_perf_analyzer_needs_of_memory_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf_input_command, "LARGE_MIB", 0)
    outcome = run(folder, "-o", tmp_path / "input.json")
    assert "perf_analyzer reads all of it into memory, about 0 GiB" in outcome.output
