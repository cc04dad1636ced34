"""WebDataset's shards: tars in which the files of a sample share a name up to its first dot.

Source of the format: "The WebDataset Format" at webdataset.github.io.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath

from tritonseg_engines.bulk.parts import Picture
from tritonseg_engines.bulk.sources import Read, Unread, changed, unread
from tritonseg_engines.bulk.storage import Storage, stamp_of
from tritonseg_engines.bulk.tars import BLOCK_BYTES, members_of
from tritonseg_engines.errors import BulkError
from tritonseg_engines.picture_files import SUFFIXES


class ShardSource:
    """Pictures in one tar, or in all in and below a folder; never unpacked.

    Args:
        url: The tar or folder.
        extension: Which of a sample's files is the picture, as "jpg"; None where each has one.
    """

    def __init__(self, url: str, *, extension: str | None = None) -> None:
        folder, _, file = url.rpartition("/")
        self._one = file if file.lower().endswith(".tar") else None
        self._storage = Storage(folder if self._one else url)
        self._extension = None if extension is None else extension.lstrip(".").lower()

    def pictures(self) -> Iterator[Picture]:
        """Yield all there are, by shard and name within.

        Raises:
            BulkError: A shard is broken, or a sample has several pictures.
            OSError: A shard cannot be read.
        """
        for shard in sorted(self._shards()):
            yield from self._in_shard(shard)

    def contents(self, pictures: Sequence[Picture]) -> Iterator[tuple[int, Read]]:
        """Yield each one's position, and what reads its bytes of the shard."""
        stamps = {file: self._stamp(file) for file in {picture.file for picture in pictures}}
        for position, picture in enumerate(pictures):
            yield position, partial(self._content, picture, stamps[picture.file])

    def _content(self, picture: Picture, stamp: str | Unread) -> bytes | Unread:
        if isinstance(stamp, Unread):
            return stamp
        if stamp != picture.stamp:
            return changed(picture.file)
        try:
            end = picture.offset + picture.size
            content = self._storage.read(picture.file, picture.offset, end)
        except Exception as error:  # noqa: BLE001 - object stores have errors of their own
            return unread(error)
        return content if len(content) == picture.size else changed(picture.file)

    def _shards(self) -> list[str]:
        if self._one is not None:
            return [self._one]
        return [name for name in self._storage.files() if name.lower().endswith(".tar")]

    def _in_shard(self, shard: str) -> Iterator[Picture]:
        stamp = stamp_of(self._storage.fs.info(self._storage.path(shard)))
        seen: dict[str, str] = {}
        for name, offset, size in self._members(shard):
            sample = name[: len(name) - len(PurePosixPath(name).name)] + _key(name)
            if sample in seen:
                raise BulkError(
                    f"{shard}: sample {sample} has several pictures, {seen[sample]} and {name}: "
                    "give --field with the extension of the right one"
                )
            seen[sample] = name
            yield Picture(name=f"{shard}/{name}", file=shard, stamp=stamp, offset=offset, size=size)

    def _members(self, shard: str) -> Iterator[tuple[str, int, int]]:
        path = self._storage.path(shard)
        with self._storage.fs.open(path, "rb", block_size=BLOCK_BYTES) as file:
            for member in members_of(file, shard):
                if member.isreg() and self._is_picture(member.name):
                    name = str(PurePosixPath(member.name))
                    yield name.removeprefix("/"), member.offset_data, member.size

    def _is_picture(self, name: str) -> bool:
        extension = PurePosixPath(name).name[len(_key(name)) + 1 :].lower()
        if self._extension is not None:
            return extension == self._extension
        return f".{extension}".endswith(SUFFIXES)

    def _stamp(self, shard: str) -> str | Unread:
        try:
            return stamp_of(self._storage.fs.info(self._storage.path(shard)))
        except Exception as error:  # noqa: BLE001 - object stores have errors of their own
            return unread(error)


def _key(name: str) -> str:
    return PurePosixPath(name).name.partition(".")[0]
