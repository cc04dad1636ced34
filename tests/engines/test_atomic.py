"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonseg_engines.atomic import replaced_file, write_atomically


@pytest.mark.parametrize("is_flushed", [True, False])
def test_a_file_takes_the_others_place(tmp_path: Path, is_flushed: bool) -> None:
    path = tmp_path / "not there" / "nor this" / "file"
    for content in (b"first", b"second"):
        write_atomically(path, content, is_flushed=is_flushed)
        assert path.read_bytes() == content
        assert [found.name for found in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_there_is_there_still(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def fail_half_way() -> None:
        with replaced_file(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert path.read_bytes() == b"before"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_its_place_and_a_file_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder" / "within").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"a file")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "folder", b"content")
    with pytest.raises(NotADirectoryError):
        write_atomically(tmp_path / "file" / "name", b"content")
    assert sorted(tmp_path.rglob("*")) == before
