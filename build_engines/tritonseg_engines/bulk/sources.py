"""Where pictures come from: folders, Parquet files, WebDataset's shards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, Protocol

from tritonseg_engines.bulk.parts import Picture
from tritonseg_engines.bulk.storage import Storage, stamp_of
from tritonseg_engines.errors import BulkError, reason_of
from tritonseg_engines.picture_files import (
    SUFFIXES,
    UNREAD_SUFFIXES,
    links_astray,
    picture_files,
    unread_files,
)

Kind = Literal["folder", "parquet", "webdataset"]
SUFFIX_OF: Final[dict[str, Kind]] = {".parquet": "parquet", ".tar": "webdataset"}
PACKED_TARS: Final = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """Why there are no bytes of a picture.

    Attributes:
        kind: One word.
        reason: A sentence.
    """

    kind: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What a job reads.

    Attributes:
        url: A folder or file, by path or URL.
        kind: What is in it; None to find out.
        field: Column of a Parquet file, or extension in WebDataset's samples; None to find out.
        names: Column of a Parquet file that names its pictures; None for file and row.
    """

    url: str
    kind: Kind | None = None
    field: str | None = None
    names: str | None = None


Read = Callable[[], bytes | Unread]
"""Returns a picture's bytes, or why there are none."""


class Source(Protocol):
    """Pictures in files of one kind."""

    def pictures(self) -> Iterator[Picture]:
        """Yield all there are, in any order, without reading them."""

    def contents(self, pictures: Sequence[Picture]) -> Iterator[tuple[int, Read]]:
        """Yield each one's position in `pictures`, and what reads it, in any thread."""

    def left_out(self) -> Sequence[str]:
        """Return, after `pictures`, a line for each thing that is taken for no picture."""


def open_source(options: SourceOptions, *, results: str | None = None) -> Source:
    """Return what reads the pictures.

    Args:
        options: With a kind that is known; see `known_kind`.
        results: Where results go, which are no pictures even if they lie within.

    Raises:
        BulkError: An option is for another kind.
    """
    kind = options.kind or known_kind(options, results=results)
    if kind == "folder":
        _refuse(options, kind, field=options.field, names=options.names)
        return FolderSource(options.url, results=results)
    if kind == "webdataset":
        from tritonseg_engines.bulk.shards import ShardSource

        _refuse(options, kind, names=options.names)
        return ShardSource(options.url, extension=options.field, results=results)
    from tritonseg_engines.bulk.tables import TableSource

    return TableSource(options.url, column=options.field, names=options.names, results=results)


def known_kind(options: SourceOptions, *, results: str | None = None) -> Kind:
    """Return the kind that was given, or that of what is there.

    Args:
        options: What is read.
        results: As for `open_source`.

    Raises:
        BulkError: Nothing is there that is read, or files of several kinds.
    """
    if options.kind is not None:
        return options.kind
    suffix = PurePosixPath(options.url).suffix.lower()
    if suffix in SUFFIX_OF:
        return SUFFIX_OF[suffix]
    storage = Storage(options.url)
    if not storage.exists(""):
        raise BulkError(f"{options.url} is not there")
    names = files_beside(storage, results)
    found = {_kind_of(name) for name in names} - {None}
    if len(found) == 1:
        return found.pop() or "folder"
    if found:
        kinds = ", ".join(sorted(filter(None, found)))
        raise BulkError(f"{options.url} holds files of several kinds; give --kind ({kinds})")
    packed = [name for name in names if name.lower().endswith(PACKED_TARS)]
    if packed:
        raise BulkError(
            f"{options.url} holds compressed tars ({packed[0]}), of which no picture can be read "
            "alone: unpack them to .tar"
        )
    raise BulkError(f"{options.url} holds no picture ({', '.join((*SUFFIXES, *SUFFIX_OF))})")


class FolderSource:
    """A file for each picture, in and below a folder.

    Args:
        url: The folder.
        results: Where results go, which are no pictures even if they lie within.
    """

    def __init__(self, url: str, *, results: str | None = None) -> None:
        self._storage = Storage(url)
        self._results = results

    def pictures(self) -> Iterator[Picture]:
        """Yield all there are, by their path below the folder.

        Raises:
            OSError: A folder cannot be read.
        """
        for name, about in self._listed(SUFFIXES):
            yield Picture(
                name=name, file=name, stamp=stamp_of(about), offset=0, size=int(about["size"] or 0)
            )

    def left_out(self) -> list[str]:
        """Return a line for each picture of a format that is not read, and each link astray."""
        if self._storage.is_local:
            root, results = Path(self._storage.root), _local(self._results)
            files = unread_files([root], results=results)
            lines = [of_unread_format(path.relative_to(root).as_posix()) for path in files]
            return [*lines, *links_left_out(self._storage, self._results)]
        return [of_unread_format(name) for name, _ in self._listed(UNREAD_SUFFIXES)]

    def contents(self, pictures: Sequence[Picture]) -> Iterator[tuple[int, Read]]:
        """Yield each one's position, and what reads its file."""
        for position, picture in enumerate(pictures):
            yield position, partial(content_of, self._storage, picture)

    def _listed(self, suffixes: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        if self._storage.is_local:
            root = Path(self._storage.root)
            for path in picture_files([root], results=_local(self._results)):
                name = path.relative_to(root).as_posix()
                yield name, self._storage.about(name)
            return
        for name, about in files_beside(self._storage, self._results).items():
            if name.lower().endswith(suffixes):
                yield name, about


def files_beside(storage: Storage, results: str | None) -> dict[str, Mapping[str, Any]]:
    """Return what `Storage.files` does, without what lies in the folder of results."""
    files = storage.files()
    if results is None:
        return files
    other = Storage(results)
    root, folder = storage.root, other.root
    if storage.is_local and other.is_local:
        root, folder = os.path.realpath(root), os.path.realpath(folder)
    if storage.fs.protocol != other.fs.protocol or not folder.startswith(f"{root.rstrip('/')}/"):
        return files
    below = folder[len(root) :].strip("/") + "/"
    return {name: about for name, about in files.items() if not name.startswith(below)}


def content_of(storage: Storage, picture: Picture, *, end: int | None = None) -> bytes | Unread:
    """Return a picture's bytes if its file is what was listed, or why there are none.

    Args:
        storage: Of the source.
        picture: A file, or from its offset a part of one.
        end: The byte behind the part.
    """
    try:
        # What took its place may be a pipe, which never ends, or fill the memory.
        if storage.is_local and stamp_of(storage.about(picture.file)) != picture.stamp:
            return changed(picture.file)
        start = None if end is None else picture.offset
        content = storage.read(picture.file, start, end)
        # After it is read: what changed before or meanwhile has another stamp now.
        is_as_listed = stamp_of(storage.about(picture.file)) == picture.stamp
    except Exception as error:  # noqa: BLE001 - object stores have errors of their own
        return unread(error)
    if not is_as_listed or len(content) != picture.size:
        return changed(picture.file)
    return content


def of_unread_format(name: str) -> str:
    """Return the line about a picture that is left out for its format."""
    return f"left out, of a format that is not read: {name}"


def links_left_out(storage: Storage, results: str | None) -> list[str]:
    """Return a line for each link in a folder of this machine that is not followed."""
    if not storage.is_local:
        return []
    root = Path(storage.root)
    links = (path.relative_to(root) for path in links_astray(root, results=_local(results)))
    return [f"left out, a link that leads to no file: {link.as_posix()}" for link in links]


def unread(error: BaseException) -> Unread:
    """Return that a file could not be read, and why."""
    return Unread(
        kind="ReadError", reason=f"cannot be read: {reason_of(error) or type(error).__name__}"
    )


def changed(file: str) -> Unread:
    """Return that a file is not what was listed."""
    return Unread(kind="ChangedError", reason=f"{file} has changed since the job began")


def _local(results: str | None) -> Path | None:
    return None if results is None or "://" in results else Path(results)


def _kind_of(name: str) -> Kind | None:
    suffix = PurePosixPath(name).suffix.lower()
    return "folder" if suffix in SUFFIXES else SUFFIX_OF.get(suffix)


def _refuse(options: SourceOptions, kind: str, **given: str | None) -> None:
    for name, value in given.items():
        if value is not None:
            raise BulkError(f"--{name} is not for a {kind}, which {options.url} is")
