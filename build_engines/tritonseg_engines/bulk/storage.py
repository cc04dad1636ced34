"""Folders, here or in an object store, and files that appear there whole or not at all."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from tritonseg_engines.atomic import STAGING, replaced_file, write_atomically
from tritonseg_engines.bulk.mounts import is_near
from tritonseg_engines.errors import BulkError

OBJECT_STORES: Final = frozenset(
    {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci"}
)
"""Where a file that is written appears at once, and a rename would be a copy."""
UNFINISHED: Final = re.compile(rf"\.[0-9a-f]{{8}}{re.escape(STAGING)}$")
MARKS: Final = (
    "ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "modify",
    "modificationTime",
)  # fmt: skip
"""What file systems say of a file that changes with its content, the best first; "modify" is FTP's
(RFC 3659), "modificationTime" WebHDFS's."""
PASSWORD: Final = re.compile(r"://[^/@:]*:[^/]*@")


def absolute_url(text: str) -> str:
    """Return a URL as it is, and a path such that it means the same in other processes."""
    return text if "://" in text or "::" in text else os.path.abspath(text)  # noqa: PTH100


class Storage:
    """A folder of any kind that fsspec knows.

    Args:
        url: Its path or URL, with a protocol as in "s3://bucket/folder"; see `absolute_url`.

    Raises:
        BulkError: There is no such kind, what reads it is not installed, or the URL carries a
            password, which the message does not repeat.
    """

    def __init__(self, url: str) -> None:
        if PASSWORD.search(url):
            raise BulkError(
                "the URL of SRC or DST carries a password, which would end up in job.json, logs "
                "and process lists: leave it out and put it into fsspec's configuration"
            )
        try:
            self.fs, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise BulkError(f"{url}: {error}") from error
        self.url = url
        self.root: str = root.rstrip("/") or root

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    @property
    def is_near(self) -> bool:
        """Whether it is on a disk or in the memory of this machine, as far as Linux says so."""
        return self.is_local and is_near(self.root)

    def path(self, name: str) -> str:
        """Return the path of a file in it, as its file system spells that."""
        return f"{self.root}/{name}" if name else self.root

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return a file's bytes, or those from `start` up to `end`.

        Raises:
            OSError: It is not there or cannot be read; object stores have errors of their own.
        """
        content: bytes = self.fs.cat_file(self.path(name), start=start, end=end)
        return content

    def write(self, name: str, content: bytes, *, is_flushed: bool = True) -> None:
        """Write a file, replacing what was there; nobody ever sees a part of it.

        Args:
            name: Its name.
            content: All of it.
            is_flushed: Whether it outlives the machine's power at once, or only after `flush`.

        Raises:
            OSError: It cannot be written; object stores have errors of their own.
        """
        path = self.path(name)
        if self.is_local:
            write_atomically(Path(path), content, is_flushed=is_flushed)
        elif self._is_object_store:
            self.fs.pipe_file(path, content)
        else:
            with self._renamed(path) as temporary:
                self.fs.pipe_file(temporary, content)

    def flush(self, names: Iterable[str]) -> None:
        """Let files outlive the machine's power; many at once take little more than one.

        Raises:
            OSError: One is not there any more, or the disk fails.
        """
        if not self.is_local:
            return
        for name in names:
            descriptor = os.open(self.path(name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def put(self, name: str, file: Path) -> None:
        """Write a file of this machine, however large, as `write` does.

        Raises:
            OSError: As by `write`.
        """
        path = self.path(name)
        if self.is_local:
            with replaced_file(Path(path)) as target, file.open("rb") as source:
                shutil.copyfileobj(source, target)
        elif self._is_object_store:
            self.fs.put_file(str(file), path)
        else:
            with self._renamed(path) as temporary:
                self.fs.put_file(str(file), temporary)

    def sweep(self) -> None:
        """Remove what a process that was killed had not written to its end; only where local."""
        if self.is_local:
            for path in self.fs.find(self.root):
                if is_unfinished(path):
                    Path(path).unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a file that may be there."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(self.path(name))

    def exists(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        return bool(self.fs.exists(self.path(name)))

    def files(self, folder: str = "") -> dict[str, Mapping[str, Any]]:
        """Return what is said of every file in and below a folder, by name below this one.

        Links to folders are not followed.

        Raises:
            OSError: A folder cannot be listed; object stores have errors of their own.
        """
        self.fs.invalidate_cache()
        path = self.path(folder)
        found = self._walked(path) if self._omits_in_silence else self.fs.find(path, detail=True)
        names = {path[len(self.root) :].lstrip("/"): about for path, about in found.items()}
        return {name: about for name, about in names.items() if name}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no other process write here meanwhile; only where the folder is local.

        Raises:
            BulkError: Another does.
        """
        if not self.is_local:
            yield
            return
        folder = Path(self.root)
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _lock(descriptor, self.url)
            yield
        finally:
            os.close(descriptor)

    @property
    def writes_whole(self) -> bool:
        """Whether files appear whole or not at all; where a rename is a copy they do not."""
        return self._is_object_store or type(self.fs).mv is not AbstractFileSystem.mv

    def about(self, name: str) -> Mapping[str, Any]:
        """Return what is said of a file now; of a link's, what is said of what it leads to.

        Raises:
            OSError: It is not there; object stores have errors of their own.
        """
        if self.is_local:
            status = os.stat(self.path(name))  # noqa: PTH116 - asked for every picture
            return {"size": status.st_size, "mtime": status.st_mtime_ns}
        self.fs.invalidate_cache()
        about: Mapping[str, Any] = self.fs.info(self.path(name))
        return about

    @contextmanager
    def _renamed(self, path: str) -> Iterator[str]:
        """Yield a name beside `path` to write to, which becomes `path`."""
        temporary = f"{path}.{secrets.token_hex(4)}{STAGING}"
        self.fs.makedirs(self.fs._parent(path), exist_ok=True)
        yield temporary
        self.fs.mv(temporary, path)

    @property
    def _omits_in_silence(self) -> bool:
        """Whether fsspec's own `find` would walk here, which takes a folder that fails for empty.

        Those that answer asynchronously list all of a bucket at once, by ways of their own.
        """
        return not self.fs.async_impl and type(self.fs).find is AbstractFileSystem.find

    def _walked(self, top: str) -> dict[str, Mapping[str, Any]]:
        # Not `find(on_error="raise")`: fsspec 2026.9 asks for that at the top folder alone.
        found: dict[str, Mapping[str, Any]] = {}
        folders = [self.fs._strip_protocol(top)] if self.fs.exists(top) else []
        while folders:
            folder = folders.pop()
            for about in self.fs.ls(folder, detail=True):
                name = about["name"].rstrip("/")
                if about["type"] != "directory":
                    found[name] = about
                elif name != folder.rstrip("/"):
                    folders.append(name)
        return dict(sorted(found.items()))

    @property
    def _is_object_store(self) -> bool:
        protocol = self.fs.protocol
        return bool(
            OBJECT_STORES.intersection([protocol] if isinstance(protocol, str) else protocol)
        )


def stamp_of(about: Mapping[str, Any]) -> str:
    """Return what changes when a file does, of what its file system says about it."""
    mark = next((about[name] for name in MARKS if about.get(name) is not None), "")
    return f"{about.get('size')} {mark}".replace('"', "").strip()


def shows_changes(stamp: str) -> bool:
    """Return whether a stamp is more than a size, which a file may keep when it changes."""
    return " " in stamp


def _lock(descriptor: int, url: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BulkError(f"{url}: another job writes there; wait for it or stop it") from None
    except OSError:
        return  # file systems that have no locks do without


def is_unfinished(name: str) -> bool:
    """Return whether a file is one that `write` or `put` has not renamed yet, by its name."""
    return UNFINISHED.search(name) is not None
