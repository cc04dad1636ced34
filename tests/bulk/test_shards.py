"""WebDataset's shards: every picture of a tar, or one line that says what is the matter."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tritonseg_engines.bulk.shards import ShardSource
from tritonseg_engines.errors import BulkError

NAMES = ("a.jpg", "b.jpg", "c.jpg")
BLOCK = 512


def tar(path: Path, members: Sequence[tarfile.TarInfo | str]) -> bytes:
    """Write a tar whose pictures fill less than a block each; return its bytes."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as file:
        for one in members:
            member = tarfile.TarInfo(one) if isinstance(one, str) else one
            member.size = 300 if member.isreg() else 0
            file.addfile(member, io.BytesIO(b"x" * 300))
    return path.read_bytes()


def names(path: Path) -> list[str]:
    return [
        picture.name.removeprefix(f"{path.name}/") for picture in ShardSource(str(path)).pictures()
    ]


def names_or_refusal(path: Path, content: bytes) -> list[str]:
    """Return what is found in a damaged shard; all where it is refused, as nothing is lost then."""
    path.write_bytes(content)
    try:
        return names(path)
    except BulkError as error:
        is_one_line = str(error).startswith("0.tar is no tar that is whole: ")
        return list(NAMES) if is_one_line else []


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return tmp_path / "0.tar"


def test_a_flipped_bit_in_a_header_loses_nothing(shard: Path) -> None:
    whole = tar(shard, NAMES)
    for header in range(0, 3 * 2 * BLOCK, 2 * BLOCK):
        for place in range(BLOCK):
            damaged = bytearray(whole)
            damaged[header + place] ^= 1 << place % 7
            assert names_or_refusal(shard, bytes(damaged)) == list(NAMES)


@pytest.mark.parametrize("more", [0, 1, 200])
def test_a_cut_tar_is_refused(shard: Path, more: int) -> None:
    whole = tar(shard, NAMES)
    for end in range(0, 6 * BLOCK + 1, BLOCK):
        shard.write_bytes(whole[: end + more])
        with pytest.raises(BulkError, match=r"0\.tar is no tar that is whole"):
            names(shard)
    shard.write_bytes(whole[: 7 * BLOCK])  # half of an end mark; all members are there
    assert names(shard) == list(NAMES)


def test_tars_behind_each_other_are_refused(shard: Path, tmp_path: Path) -> None:
    shard.write_bytes(tar(shard, NAMES) + tar(tmp_path / "1.tar", ["d.jpg"]))
    with pytest.raises(BulkError, match=r"behind its end mark at byte 3072 there is more"):
        names(shard)


def test_what_is_left_out_of_a_shard_is_said(shard: Path) -> None:
    tar(shard, ["1.jpg", "1.json", "2.json", "x/3.gif", "4.cls", "5.cls", "6.cls"])
    (shard.parent / "more.tar.gz").touch()
    source = ShardSource(str(shard.parent))
    assert [picture.name for picture in source.pictures()] == ["0.tar/1.jpg"]
    assert source.left_out() == [
        "left out, a compressed tar: more.tar.gz",
        "left out, of a format that is not read: 0.tar/x/3.gif",
        "left out, without a picture: 5 of 0.tar: 2, 4, 5, ...",
    ]


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_a_picture_that_is_a_link_is_refused(shard: Path, kind: bytes) -> None:
    link = tarfile.TarInfo("b.jpg")
    link.type, link.linkname = kind, "a.jpg"
    tar(shard, ["a.jpg", link])
    with pytest.raises(BulkError, match=r"0\.tar: b\.jpg is a link or device.*--hard-dereference"):
        names(shard)


def test_a_name_that_is_there_twice(shard: Path) -> None:
    tar(shard, ["a.jpg", "a.jpg"])
    with pytest.raises(BulkError, match=r"0\.tar has a\.jpg twice.*--append"):
        names(shard)
