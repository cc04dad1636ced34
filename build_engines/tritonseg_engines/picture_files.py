"""Which files are meant by what a user names: files, and all pictures in folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

SUFFIXES: Final = (
    ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif",
)  # fmt: skip
"""Of what the client decodes; a file of another name is taken where it is named itself."""
UNREAD_SUFFIXES: Final = (
    ".gif", ".jp2", ".j2k", ".jxl", ".psd", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".dcm",
    ".exr", ".ppm", ".pgm", ".tga",
)  # fmt: skip
"""Of pictures that it does not decode."""


def picture_files(named: Sequence[Path], *, results: Path | None = None) -> list[Path]:
    """Return the files that are named, and the pictures in and below folders that are, in order.

    Links to folders are not followed.

    Args:
        named: As the user gave them.
        results: A folder that is not looked into.

    Raises:
        OSError: A folder cannot be read.
    """
    files: list[Path] = []
    for path in named:
        files += sorted(_files_in(path, SUFFIXES, results)) if path.is_dir() else [path]
    return files


def unread_files(named: Sequence[Path], *, results: Path | None = None) -> list[Path]:
    """Return the pictures in and below folders that are of no format that is read.

    Args:
        named: As for `picture_files`.
        results: As there.

    Raises:
        OSError: A folder cannot be read.
    """
    folders = (path for path in named if path.is_dir())
    return [
        file for folder in folders for file in sorted(_files_in(folder, UNREAD_SUFFIXES, results))
    ]


def links_astray(folder: Path, *, results: Path | None = None) -> list[Path]:
    """Return the links below a folder that are not followed, as they lead to folders, or to none.

    Of those that lead to no file only the ones that are named like pictures that are read.

    Args:
        folder: As it is walked by `picture_files`.
        results: As there.

    Raises:
        OSError: A folder cannot be read.
    """
    found: list[Path] = []
    for parent, folders, names in _walked(folder, results):
        pictures = [name for name in names if name.lower().endswith(SUFFIXES)]
        paths = [Path(parent, name) for name in (*folders, *pictures)]
        found += [path for path in paths if path.is_symlink() and not path.is_file()]
    return sorted(found)


def _files_in(folder: Path, suffixes: tuple[str, ...], results: Path | None) -> Iterator[Path]:
    for parent, _, names in _walked(folder, results):
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() in suffixes and path.is_file():
                yield path


def _walked(folder: Path, results: Path | None) -> Iterator[tuple[str, list[str], list[str]]]:
    left_out = None if results is None else os.path.realpath(results)
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if _real(parent, name) != left_out]
        yield parent, folders, names


def _real(parent: str, name: str) -> str:
    return os.path.realpath(os.path.join(parent, name))  # noqa: PTH118 - a loop of links raises there


def _raise(error: OSError) -> None:
    raise error
