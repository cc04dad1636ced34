"""What is read of folders, shards and tables, and what is refused."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import fsspec
import pytest

from tritonseg_engines.bulk import mounts
from tritonseg_engines.bulk.sources import (
    Source,
    SourceOptions,
    Unread,
    known_kind,
    open_source,
)
from tritonseg_engines.bulk.storage import Storage
from tritonseg_engines.errors import BulkError


def opened(url: object, **options: object) -> Source:
    results = options.pop("results", None)
    whole = SourceOptions(url=str(url), **options)  # type: ignore[arg-type]
    return open_source(whole, results=None if results is None else str(results))


def read(source: Source) -> dict[str, bytes | Unread]:
    """All pictures by name, asked for in an order that is not theirs."""
    listed = sorted(source.pictures(), key=lambda one: one.name, reverse=True)
    return {listed[place].name: content() for place, content in source.contents(listed)}


def tar(path: Path, members: Sequence[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    for name in (
        "a.png",
        ".b.png",
        "deep/er/b.JPG",
        "notes.txt",
        "old.gif",
        "results/masks/a.png.png",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_a_folder(folder: Path) -> None:
    source = opened(folder, results=folder / "results")
    assert read(source) == {name: name.encode() for name in (".b.png", "a.png", "deep/er/b.JPG")}
    assert source.left_out() == ["left out, of a format that is not read: old.gif"]


def test_a_file_that_changes_while_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change comes between two looks at it, and keeps the size."""
    read_file = Storage.read

    def reading(storage: Storage, name: str, *range_: int | None) -> bytes:
        content = read_file(storage, name, *range_)
        path = Path(storage.root, name)
        path.write_bytes(path.read_bytes()[::-1])
        os.utime(path, ns=(1, 1))
        return content

    shard = tar(folder / "0.tar", [("1.jpg", b"one")])
    monkeypatch.setattr(Storage, "read", reading)
    for source in (opened(folder, kind="folder"), opened(shard)):
        found = read(source).values()
        assert {one.kind for one in found if isinstance(one, Unread)} == {"ChangedError"}
        assert not [one for one in found if isinstance(one, bytes)]


def test_a_pipe_in_the_place_of_a_picture(folder: Path) -> None:
    source = opened(folder)
    (listed,) = (one for one in source.pictures() if one.name == "a.png")
    (folder / "a.png").unlink()
    os.mkfifo(folder / "a.png")
    ((_, content),) = source.contents([listed])
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(content)
        try:
            found = reading.result(timeout=10)
        finally:
            with suppress(OSError):  # nobody reads
                os.close(os.open(folder / "a.png", os.O_WRONLY | os.O_NONBLOCK))
    assert isinstance(found, Unread)
    assert found.kind == "ChangedError"


def test_a_link_whose_target_changes(folder: Path) -> None:
    (folder / "a.link.png").symlink_to(folder / "a.png")
    source = opened(folder)
    (listed,) = (one for one in source.pictures() if one.name == "a.link.png")
    (folder / "a.png").write_bytes(b"5 bit")
    os.utime(folder / "a.png", ns=(1, 1))
    ((_, content),) = source.contents([listed])
    assert isinstance(content(), Unread)


def test_links_that_are_not_followed_are_named(folder: Path) -> None:
    tar(folder / "0.tar", [("1.jpg", b"one")])
    links = {"ring.png": "ring.png", "gone.JPG": "nowhere", "gone.txt": "nowhere", "twin": "deep",
             "up": ".", "a.link.png": "a.png", "out": "results"}  # fmt: skip
    for name, target in links.items():
        (folder / name).symlink_to(target)
    named = [f"left out, a link that leads to no file: {name}"
             for name in ("gone.JPG", "ring.png", "twin", "up")]  # fmt: skip
    source = opened(folder, kind="folder", results=folder / "results")
    assert sorted(read(source)) == [".b.png", "a.link.png", "a.png", "deep/er/b.JPG"]
    assert source.left_out()[1:] == named
    shards = opened(folder, kind="webdataset", results=folder / "results")
    assert list(read(shards)) == ["0.tar/1.jpg"]
    assert shards.left_out() == named


def test_results_within_a_folder_of_shards(tmp_path: Path) -> None:
    tar(tmp_path / "0.tar", [("1.jpg", b"one")])
    out = tmp_path / "out"
    out.mkdir()
    tar(out / "masks.tar", [("1.jpg", b"mask")])
    (out / "a.png").touch()
    (out / "part.parquet").touch()
    options = SourceOptions(url=str(tmp_path))
    assert known_kind(options, results=str(out)) == "webdataset"
    assert list(read(opened(tmp_path, results=out))) == ["0.tar/1.jpg"]
    (tmp_path / "outer").mkdir()
    tar(tmp_path / "outer/1.tar", [("2.jpg", b"two")])
    assert set(read(opened(tmp_path, results=out))) == {"0.tar/1.jpg", "outer/1.tar/2.jpg"}


def test_a_folder_of_another_file_system(folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(f"{folder}/", "/pictures/", recursive=True)
    try:
        source = opened("memory://pictures", results="memory://pictures/results")
        assert read(source) == {
            name: name.encode() for name in (".b.png", "a.png", "deep/er/b.JPG")
        }
        assert source.left_out() == ["left out, of a format that is not read: old.gif"]
    finally:
        memory.rm("/pictures", recursive=True)


def test_files_that_change_or_go_meanwhile_are_no_pictures_of_the_job(folder: Path) -> None:
    source = opened(folder, results=folder / "results")
    listed = list(source.pictures())
    os.utime(folder / "a.png", ns=(1, 1))
    (folder / "deep/er/b.JPG").unlink()
    found = {listed[place].name: content() for place, content in source.contents(listed)}
    changed, gone = found["a.png"], found["deep/er/b.JPG"]
    assert isinstance(changed, Unread)
    assert (changed.kind, changed.reason) == (
        "ChangedError", "a.png has changed since the job began",
    )  # fmt: skip
    assert isinstance(gone, Unread)
    assert gone.kind == "ReadError"


def test_shards(tmp_path: Path) -> None:
    tar(tmp_path / "0.tar", [("x/1.jpg", b"one" * 999), ("x/1.txt", b"no"), ("x/2.jpg", b"two")])
    tar(tmp_path / "1.tar", [("x/1.jpg", b"three"), ("long" * 40 + ".png", b"four")])
    assert read(opened(tmp_path)) == {
        "0.tar/x/1.jpg": b"one" * 999,
        "0.tar/x/2.jpg": b"two",
        "1.tar/x/1.jpg": b"three",
        f"1.tar/{'long' * 40}.png": b"four",
    }
    assert set(read(opened(tmp_path / "1.tar"))) == {"1.tar/x/1.jpg", f"1.tar/{'long' * 40}.png"}


def test_a_sample_with_its_labels(tmp_path: Path) -> None:
    shard = tar(tmp_path / "0.tar", [("1.jpg", b"picture"), ("1.seg.png", b"labels")])
    with pytest.raises(BulkError, match=r"sample 1 has several pictures, 1\.jpg and 1\.seg\.png"):
        read(opened(shard))
    assert read(opened(shard, field="jpg")) == {"0.tar/1.jpg": b"picture"}
    assert read(opened(shard, field=".seg.png")) == {"0.tar/1.seg.png": b"labels"}


def test_a_shard_that_changes_meanwhile(tmp_path: Path) -> None:
    source = opened(tar(tmp_path / "0.tar", [("1.jpg", b"one"), ("2.jpg", b"two")]))
    listed = list(source.pictures())
    tar(tmp_path / "0.tar", [("1.jpg", b"another")])
    found = [content() for _, content in source.contents(listed)]
    assert [one.kind for one in found if isinstance(one, Unread)] == ["ChangedError"] * 2


def test_shards_that_cannot_be_read_in_parts(tmp_path: Path) -> None:
    whole = tar(tmp_path / "0.tar", [("1.jpg", b"one" * 9999)])
    whole.write_bytes(whole.read_bytes()[:700])
    with pytest.raises(BulkError, match=r"0\.tar is no tar that is whole"):
        list(opened(whole).pictures())
    whole.unlink()
    tar(tmp_path / "1.tar.gz", [("1.jpg", b"one")], "w:gz")
    with pytest.raises(BulkError, match=r"compressed tars \(1\.tar\.gz\).*unpack them"):
        known_kind(SourceOptions(url=str(tmp_path)))


def test_several_kinds_or_none(tmp_path: Path) -> None:
    with pytest.raises(BulkError, match="nowhere is not there"):
        known_kind(SourceOptions(url=str(tmp_path / "nowhere")))
    with pytest.raises(BulkError, match="holds no picture"):
        known_kind(SourceOptions(url=str(tmp_path)))
    (tmp_path / "a.png").touch()
    tar(tmp_path / "0.tar", [])
    with pytest.raises(BulkError, match=r"several kinds; give --kind \(folder, webdataset\)"):
        known_kind(SourceOptions(url=str(tmp_path)))
    assert known_kind(SourceOptions(url=str(tmp_path), kind="folder")) == "folder"


def test_options_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(BulkError, match="--field is not for a folder"):
        opened(tmp_path, kind="folder", field="image")
    with pytest.raises(BulkError, match="--names is not for a webdataset"):
        opened(tmp_path, kind="webdataset", names="id")


def test_a_folder_below_that_cannot_be_listed(folder: Path) -> None:
    """One whose path is too long, which stops root, too."""
    tar(folder / "0.tar", [("1.jpg", b"one")])
    here = os.open(folder, os.O_RDONLY)
    for _ in range(os.pathconf(folder, "PC_PATH_MAX") // 200 + 1):
        os.mkdir("d" * 200, dir_fd=here)
        above, here = here, os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(above)
    os.close(here)
    for kind in ("folder", "webdataset"):
        with pytest.raises(OSError, match="too long"):
            list(opened(folder, kind=kind).pictures())
    with pytest.raises(OSError, match="too long"):
        Storage(str(folder)).files()


@pytest.mark.parametrize("folder", [tempfile.gettempdir(), "/dev/shm", "/proc/self"])
def test_what_is_near_is_what_df_says(folder: str) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("nothing is near but on Linux")
    words = ["df", "--output=fstype", os.path.realpath(folder)]
    kind = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1]
    assert Storage(f"{folder}/is not there yet").is_near == (kind in mounts.NEAR)


def test_a_mount_with_a_space_and_one_on_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "mounts"
    lines = ["disk / ext4 rw 0 0",
             "a\u2028b /mnt/d\re\x85f nfs4 rw 0 0",
             "nas:/a /mnt/a\\040b nfs4 rw 0 0", "tmp /mnt/c tmpfs rw 0 0",
             "nas:/c /mnt/c nfs4 rw 0 0"]  # fmt: skip
    listed.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(mounts, "MOUNTS", listed)
    near = {"/mnt/a": True, "/mnt/a b": False, "/mnt/a b/x": False, "/mnt/c": False,
            "/mnt/d": True, "/mnt/d\re\x85f": False}  # fmt: skip
    assert {path: Storage(path).is_near for path in near} == near
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "none")
    assert not Storage("/mnt/a").is_near


@pytest.mark.parametrize("url", ["nope://bucket/folder", "sftp://host/folder"])
def test_storage_of_a_kind_that_is_not_here(url: str) -> None:
    with pytest.raises(BulkError, match=f"^{url}: "):
        Storage(url)


@pytest.fixture
def table(tmp_path: Path, with_arrow: None) -> Path:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    columns = {
        "id": ["c", "a", "b", "d"],
        "picture": [b"C", b"A", None, b"D"],
        "hf": [{"bytes": value.encode(), "path": None} for value in "CABD"],
        "label": [1, 2, 3, 4],
    }
    parquet.write_table(arrow.table(columns), tmp_path / "t.parquet", row_group_size=3)
    return tmp_path / "t.parquet"


def test_a_table(table: Path) -> None:
    found = read(opened(table, field="picture"))
    no_picture = Unread(kind="ReadError", reason="the row has no picture")
    assert found == {
        "t.parquet/000000000": b"C",
        "t.parquet/000000001": b"A",
        "t.parquet/000000002": no_picture,
        "t.parquet/000000003": b"D",
    }
    named = read(opened(table.parent, field="hf", names="id"))
    assert named == {"a": b"A", "b": b"B", "c": b"C", "d": b"D"}


def test_a_table_of_which_some_rows_are_read(table: Path) -> None:
    source = opened(table, field="hf", names="id")
    last = [one for one in source.pictures() if one.name == "d"]
    assert [content() for _, content in source.contents(last)] == [b"D"]


def test_a_table_that_changes_meanwhile(table: Path) -> None:
    source = opened(table, field="hf")
    listed = list(source.pictures())
    table.write_bytes(b"no table at all")
    found = [content() for _, content in source.contents(listed)]
    assert [one.kind for one in found if isinstance(one, Unread)] == ["ChangedError"] * 4


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "which column has the pictures.*picture, hf"),
        ({"field": "image"}, "has no column 'image'; it has id, picture, hf, label"),
        ({"field": "label"}, "column 'label' is of int64; expected the bytes"),
        ({"field": "hf", "names": "name"}, "has no column 'name'"),
    ],
)
def test_columns_that_are_none(table: Path, options: dict[str, str], reason: str) -> None:
    with pytest.raises(BulkError, match=reason):
        list(opened(table, **options).pictures())


def test_a_file_that_is_no_table(tmp_path: Path, with_arrow: None) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(BulkError, match=r"t\.parquet is no Parquet file"):
        list(opened(tmp_path).pictures())
