"""Where a pulled repository comes to lie: whole, or what was there is there still."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from tritonseg_engines.artefact.place import placed
from tritonseg_engines.errors import ArtefactError


def put(source: Path, repository: Path, *, replaces: bool = False) -> bool:
    with placed(repository, replaces=replaces) as place:
        shutil.copytree(source, place.staging / "models")
        return place.take(place.staging / "models")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", ["repository", "models", ".hidden", "a/b/c", "x" * 200])
def test_it_is_there_and_nothing_else(name: str, for_cpu: Path, tmp_path: Path) -> None:
    assert put(for_cpu, tmp_path / name)
    assert contents(tmp_path / name) == contents(for_cpu)
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == [Path(name).name]


def test_an_empty_folder_is_filled(for_cpu: Path, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    assert put(for_cpu, tmp_path / "r")
    assert contents(tmp_path / "r") == contents(for_cpu)


def test_the_same_stays_with_what_python_wrote_there(for_cpu: Path, tmp_path: Path) -> None:
    put(for_cpu, tmp_path / "r")
    cache = tmp_path / "r/tiny/1/__pycache__/model.cpython-311.pyc"
    cache.parent.mkdir()
    cache.write_bytes(b"compiled")
    before = (tmp_path / "r").stat().st_ino
    assert not put(for_cpu, tmp_path / "r")
    assert (tmp_path / "r").stat().st_ino == before
    assert cache.is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_another_repository_is_replaced_only_on_demand(
    for_cpu: Path, for_l4: Path, tmp_path: Path
) -> None:
    put(for_cpu, tmp_path / "r")
    with pytest.raises(ArtefactError, match="--replace"):
        put(for_l4, tmp_path / "r")
    assert contents(tmp_path / "r") == contents(for_cpu)
    assert put(for_l4, tmp_path / "r", replaces=True)
    assert contents(tmp_path / "r") == contents(for_l4)
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize("name", ["notes.txt", "their_model/config.pbtxt", ".git/HEAD"])
def test_what_tritonseg_did_not_build_is_never_replaced(
    name: str, for_cpu: Path, for_l4: Path, tmp_path: Path
) -> None:
    put(for_cpu, tmp_path / "r")
    (tmp_path / "r" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "r" / name).write_text("somebody's")
    before = contents(tmp_path / "r")
    with pytest.raises(ArtefactError, match=f"holds {name.partition('/')[0]}, which tritonseg"):
        put(for_l4, tmp_path / "r", replaces=True)
    assert contents(tmp_path / "r") == before


def test_links_and_files_are_left(for_cpu: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").write_text("somebody's")
    for name in ("link", "file", "/"):
        with pytest.raises(ArtefactError, match="expected a folder to make or replace"):
            put(for_cpu, tmp_path / name, replaces=True)


def test_what_fails_on_the_way_leaves_nothing(for_cpu: Path, tmp_path: Path) -> None:
    put(for_cpu, tmp_path / "r")

    def stopped() -> None:
        with placed(tmp_path / "r", replaces=True) as place:
            (place.staging / "models").mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert contents(tmp_path / "r") == contents(for_cpu)
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def is_held(folder: Path) -> bool:
    """Return whether another process would wait for its turn in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def test_nobody_waits_for_a_download(for_cpu: Path, for_l4: Path, tmp_path: Path) -> None:
    with placed(tmp_path / "r", replaces=False) as place:
        shutil.copytree(for_cpu, place.staging / "models")
        assert not is_held(tmp_path)
        put(for_l4, tmp_path / "beside")
        put(for_cpu, tmp_path / "r")  # somebody who was faster
        assert not place.take(place.staging / "models")
        assert is_held(tmp_path)
    assert not is_held(tmp_path)
    assert contents(tmp_path / "r") == contents(for_cpu)
    assert {path.name for path in tmp_path.iterdir()} == {"r", "beside"}


def test_who_was_faster_with_another_repository_is_not_replaced(
    for_cpu: Path, for_l4: Path, tmp_path: Path
) -> None:
    def slower() -> None:
        with placed(tmp_path / "r", replaces=False) as place:
            shutil.copytree(for_cpu, place.staging / "models")
            assert not is_held(tmp_path)
            put(for_l4, tmp_path / "r")
            place.take(place.staging / "models")

    with pytest.raises(ArtefactError, match="holds another repository"):
        slower()
    assert not is_held(tmp_path)
    assert contents(tmp_path / "r") == contents(for_l4)
