"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

STAGING: Final = ".tmp"
"""How the names of what is not whole yet end."""
KEPT_OF_NAME: Final = 32
RETIRED: Final = ".old"
"""How those end of what was replaced, until it is known that it will not be put back."""


def temporary_sibling(path: Path, ending: str = STAGING) -> Path:
    """Return a hidden, unused name beside the path, so that a rename stays on one file system.

    It has the beginning of the path's own name, which may be as long as names can be.
    """
    return path.with_name(f".{path.name[:KEPT_OF_NAME]}.{secrets.token_hex(4)}{ending}")


def write_atomically(path: Path, content: bytes, *, is_flushed: bool = True) -> None:
    """Write the file under a temporary name and rename it, replacing what was there.

    Args:
        path: Where.
        content: What.
        is_flushed: As for `replaced_file`.
    """
    with replaced_file(path, is_flushed=is_flushed) as file:
        file.write(content)


@contextmanager
def replaced_file(path: Path, *, is_flushed: bool = True) -> Iterator[BinaryIO]:
    """Yield an empty file to be written piece by piece; on success it takes the place of `path`.

    If the body fails or is interrupted, what was there is there still and nothing new is.

    Args:
        path: Where.
        is_flushed: Whether that holds where the machine loses its power, too. That takes
            milliseconds, so of very many files one flushes later.
    """
    temporary = temporary_sibling(path)
    try:
        with _opened(temporary) as file:
            yield file
            file.flush()
            if is_flushed:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _opened(path: Path) -> BinaryIO:
    """Open a new file, and make its folder only where it is missing: most files have siblings."""
    try:
        return path.open("wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")


@contextmanager
def replaced_directories(
    parent: Path, names: tuple[str, ...], *, removed: tuple[str, ...] = ()
) -> Iterator[Path]:
    """Yield an empty folder; on success move its subfolders `names` into `parent`.

    Those of the same names are replaced, and those named in `removed` go if they are there, all
    or none: if the body or a move fails, or is interrupted, what was there is there again and
    nothing new is. A process that is killed leaves folders that end in `STAGING` and `RETIRED`.
    """
    parent.mkdir(parents=True, exist_ok=True)
    staging = temporary_sibling(parent / names[0])
    retired = temporary_sibling(parent / names[0], RETIRED)
    staging.mkdir()
    try:
        yield staging
        retired.mkdir()
        _exchange(parent, names, removed, staging, retired)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Let no other process of ours change what is in a folder meanwhile; made if it is not there.

    File systems that have no locks do without.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_directories(parent: Path, names: tuple[str, ...]) -> None:
    """Remove subfolders; none of them is there in part meanwhile."""
    retired = temporary_sibling(parent / names[0], RETIRED)
    retired.mkdir()
    try:
        for name in names:
            (parent / name).rename(retired / name)
    finally:
        shutil.rmtree(retired, ignore_errors=True)


def _exchange(
    parent: Path, names: tuple[str, ...], removed: tuple[str, ...], staging: Path, retired: Path
) -> None:
    begun: list[tuple[Path, Path]] = []

    def move(source: Path, destination: Path) -> None:
        begun.append((source, destination))  # first: Ctrl-C may come between the two
        source.rename(destination)

    try:
        for name in (*names, *removed):
            target = parent / name
            if target.exists():
                move(target, retired / name)
            if name in names:
                move(staging / name, target)
    except BaseException:
        for source, destination in reversed(begun):
            if destination.exists() and not source.exists():
                destination.rename(source)
        raise
