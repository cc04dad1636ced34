"""WebDataset's shards: tars in which the files of a sample share a name up to its first dot.

Source of the format: "The WebDataset Format" at webdataset.github.io.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Final

from tritonseg_engines.bulk.parts import Picture
from tritonseg_engines.bulk.sources import (
    PACKED_TARS,
    Read,
    content_of,
    files_beside,
    links_left_out,
    of_unread_format,
)
from tritonseg_engines.bulk.storage import Storage, stamp_of
from tritonseg_engines.bulk.tars import BLOCK_BYTES, members_of
from tritonseg_engines.errors import BulkError
from tritonseg_engines.picture_files import SUFFIXES, UNREAD_SUFFIXES

NAMED: Final = 3
"""Samples without a picture of a shard that are named, of however many."""


class ShardSource:
    """Pictures in one tar, or in all in and below a folder; never unpacked.

    Args:
        url: The tar or folder.
        extension: Which of a sample's files is the picture, as "jpg"; None where each has one.
        results: Where results go, which are no shards even if they lie within.
    """

    def __init__(
        self, url: str, *, extension: str | None = None, results: str | None = None
    ) -> None:
        folder, _, file = url.rpartition("/")
        self._one = file if file.lower().endswith(".tar") else None
        self._storage = Storage(folder if self._one else url)
        self._extension = None if extension is None else extension.lstrip(".").lower()
        self._results = results
        self._left_out: list[str] = []

    def pictures(self) -> Iterator[Picture]:
        """Yield all there are, by shard and name within.

        Raises:
            BulkError: A shard is broken, a sample has several pictures, or one is a link.
            OSError: A shard cannot be read.
        """
        self._left_out = []
        for shard in sorted(self._shards()):
            yield from self._in_shard(shard)

    def left_out(self) -> list[str]:
        """Return a line for each packed tar, and of each shard for what is no picture that is read.

        Only after `pictures`.
        """
        return self._left_out

    def contents(self, pictures: Sequence[Picture]) -> Iterator[tuple[int, Read]]:
        """Yield each one's position, and what reads its bytes of the shard."""
        for position, picture in enumerate(pictures):
            end = picture.offset + picture.size
            yield position, partial(content_of, self._storage, picture, end=end)

    def _shards(self) -> list[str]:
        if self._one is not None:
            return [self._one]
        files = files_beside(self._storage, self._results)
        self._left_out += links_left_out(self._storage, self._results)
        packed = (name for name in files if name.lower().endswith(PACKED_TARS))
        self._left_out += [f"left out, a compressed tar: {name}" for name in packed]
        return [name for name in files if name.lower().endswith(".tar")]

    def _in_shard(self, shard: str) -> Iterator[Picture]:
        stamp = stamp_of(self._storage.about(shard))
        seen: dict[str, str] = {}
        samples: set[str] = set()
        for member in self._members(shard):
            name = str(PurePosixPath(member.name)).removeprefix("/")
            sample = name[: len(name) - len(PurePosixPath(name).name)] + _key(name)
            samples.add(sample)
            if not self._is_picture(name):
                if self._extension is None and name.lower().endswith(UNREAD_SUFFIXES):
                    self._left_out.append(of_unread_format(f"{shard}/{name}"))
                continue
            _refuse_elsewhere(shard, member)
            if sample in seen:
                raise _twice(shard, sample, seen[sample], name)
            seen[sample] = name
            yield Picture(
                name=f"{shard}/{name}",
                file=shard,
                stamp=stamp,
                offset=member.offset_data,
                size=member.size,
            )
        if without := sorted(samples - seen.keys()):
            named = ", ".join(without[:NAMED]) + (", ..." if without[NAMED:] else "")
            self._left_out.append(
                f"left out, without a picture: {len(without)} of {shard}: {named}"
            )

    def _members(self, shard: str) -> Iterator[tarfile.TarInfo]:
        """Yield what is no folder."""
        path = self._storage.path(shard)
        with self._storage.fs.open(path, "rb", block_size=BLOCK_BYTES) as file:
            for member in members_of(file, shard):
                if not member.isdir():
                    yield member

    def _is_picture(self, name: str) -> bool:
        extension = PurePosixPath(name).name[len(_key(name)) + 1 :].lower()
        if self._extension is not None:
            return extension == self._extension
        return f".{extension}".endswith(SUFFIXES)


def _key(name: str) -> str:
    return PurePosixPath(name).name.partition(".")[0]


def _refuse_elsewhere(shard: str, member: tarfile.TarInfo) -> None:
    """Refuse a picture whose bytes do not stand behind its header as they are."""
    if not member.isreg() or member.issparse():
        kind = "a sparse file" if member.isreg() else "a link or device"
        raise BulkError(
            f"{shard}: {member.name} is {kind}, not the bytes of a picture: write the tar with "
            "--dereference --hard-dereference, without --sparse"
        )


def _twice(shard: str, sample: str, first: str, second: str) -> BulkError:
    if first == second:
        return BulkError(
            f"{shard} has {first} twice: names must differ, as results go by them; tar's --append "
            "and --update leave the old one in it"
        )
    return BulkError(
        f"{shard}: sample {sample} has several pictures, {first} and {second}: give --field with "
        "the extension of the right one"
    )
