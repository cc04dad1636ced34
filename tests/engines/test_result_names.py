"""Which files `tritonseg segment` will write: never a picture, never two pictures' one."""

from __future__ import annotations

import os
import random
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tritonseg_engines.cli.app import cli
from tritonseg_engines.cli.result_names import result_files

NOBODY = ["--model", "street-demo", "--url", "127.0.0.1:9", "--timeout", "1"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(*names: str) -> list[Path]:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode())
    return [Path(name) for name in names]


def names(*images: str, folder: str = "out", overwrite: bool = False) -> dict[str, str]:
    planned = result_files(put(*images), Path(folder), overwrite=overwrite)
    return {str(image): str(files.class_map) for image, files in planned.items()}


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (["street.jpg", "a/park.jpg"], ["street", "park"]),
        (["a/1.jpg", "b/1.jpg"], ["a/1", "b/1"]),
        (["x/a/1.jpg", "x/b/1.jpg", "x/b/2.jpg"], ["a/1", "b/1", "2"]),
        (["x/a/1.jpg", "x/b/1.jpg", "y/2.jpg"], ["x/a/1", "x/b/1", "2"]),
        (["1.jpg", "a/1.jpg"], ["1", "a/1"]),
        (["street.jpg", "street.png"], ["street.jpg", "street.png"]),
        (["a/1.jpg", "a/1.png", "b/1.jpg"], ["a/1.jpg", "a/1.png", "b/1"]),
        (["street.jpg", "street.png", "street.jpg.webp"], ["street.jpg", "street.png", None]),
        (["x.jpg", "x.color.jpg"], ["x.jpg", "x.color.jpg"]),
        (["a.jpg", "a.png/1.jpg", "b/1.jpg"], ["a.jpg", "a.png/1", "b/1"]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_names_are_as_short_as_they_can_be(images: list[str], expected: list[str | None]) -> None:
    found = names(*images)
    assert list(found) == images
    for image, name in zip(images, expected, strict=True):
        assert name is None or found[image] == f"out/{name}.png"
    assert len(set(found.values())) == len(images)


def test_no_picture_is_in_the_way_of_its_own_result() -> None:
    assert names("street.png", folder=".") == {"street.png": "street.png.png"}
    assert names("a/1.png", "b/1.png", folder=".") == {
        "a/1.png": "a/1.png.png", "b/1.png": "b/1.png.png",
    }  # fmt: skip


def test_nor_of_anothers_nor_behind_a_link() -> None:
    put("pictures/street.png")
    Path("linked").symlink_to("pictures")
    assert names("pictures/street.png", folder="linked") == {
        "pictures/street.png": "linked/street.png.png"
    }
    assert names("street.jpg", "a/street.color.png", folder="a")["street.jpg"] != "a/street.png"


def test_the_same_picture_twice_is_done_once() -> None:
    put("street.jpg")
    here = Path("street.jpg")
    planned = result_files(
        [here, Path("./street.jpg"), here.absolute()], Path("out"), overwrite=False
    )
    assert list(planned) == [here]


def test_dots_behind_a_link_are_where_the_system_finds_them() -> None:
    put("street.jpg", "x/street.jpg")
    Path("x/y").mkdir()
    Path("link").symlink_to("x/y")
    assert names("street.jpg", "link/../street.jpg") == {
        "street.jpg": "out/street.png", "link/../street.jpg": "out/x/street.png",
    }  # fmt: skip


@pytest.mark.parametrize("existing", ["street.png", "street.color.png", "street.overlay.jpg"])
def test_what_is_there_stays_unless_told_otherwise(existing: str) -> None:
    put(f"out/{existing}")
    with pytest.raises(click.ClickException, match=rf"^out/{existing} would be .*--overwrite"):
        names("street.jpg")
    assert names("street.jpg", overwrite=True) == {"street.jpg": "out/street.png"}


def test_a_picture_is_not_replaced_even_if_told() -> None:
    put("street.png.png", "street.png.color.png")
    with pytest.raises(click.ClickException, match=r"^street.png: its results would take the"):
        result_files(put("street.png", "street.png.png"), Path(), overwrite=True)


def test_any_set_of_names_is_kept_apart() -> None:
    """Against what a file system does: as many files as results, and every picture as it was."""
    draw = random.Random(0)
    parts = ["a", "b", "a.color", "a.png", "a.overlay"]
    for case in range(300):
        root = Path(f"case{case}")
        images = {
            root / "/".join(draw.choices(["a", "b", "."], k=draw.randint(0, 2)))
            / f"{draw.choice(parts)}{draw.choice(['.jpg', '.png'])}"
            for _ in range(draw.randint(1, 6))
        }  # fmt: skip
        put(*map(str, images))
        images = sorted({Path(os.path.normpath(image)) for image in images})
        try:
            planned = result_files(images, root, overwrite=draw.random() < 0.7)
        except click.ClickException:
            continue
        written = [path for files in planned.values() for path in files]
        for number, path in enumerate(written):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"result %d" % number)
        assert [path.read_bytes() for path in written] == [
            b"result %d" % number for number in range(len(written))
        ]
        for image in images:
            assert not image.read_bytes().startswith(b"result")


def test_is_said_before_anything_is_sent() -> None:
    put("street.jpg", "out/street.png", "out/street.color.png")
    outcome = CliRunner().invoke(cli, ["segment", "street.jpg", "-o", "out", *NOBODY])
    assert outcome.exit_code == 1
    assert outcome.output == (
        "Error: out/street.png and 1 more would be replaced: give --overwrite, or --resume to "
        "leave out what is done, or another folder with -o\n"
    )


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/none"])
def test_a_folder_that_cannot_be_is_one_line_before_anything_is_sent(folder: str) -> None:
    put("street.jpg", "file")
    outcome = CliRunner().invoke(cli, ["segment", "street.jpg", "-o", folder, *NOBODY])
    assert outcome.exit_code == 1
    (line,) = outcome.output.splitlines()
    assert line.startswith(f"Error: {folder}: results cannot be written there: ")
    assert line.endswith("; give another folder with -o")
