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
        files += sorted(_pictures_in(path, results)) if path.is_dir() else [path]
    return files


def _pictures_in(folder: Path, results: Path | None) -> Iterator[Path]:
    left_out = None if results is None else os.path.realpath(results)
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if _real(parent, name) != left_out]
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() in SUFFIXES and path.is_file():
                yield path


def _real(parent: str, name: str) -> str:
    return os.path.realpath(os.path.join(parent, name))  # noqa: PTH118 - a loop of links raises there


def _raise(error: OSError) -> None:
    raise error
