"""Which files are meant by what a user names: files, and all pictures in folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""Of what the client decodes; a file of another name is taken where it is named itself."""


def picture_files(named: Sequence[Path], *, results: Path | None = None) -> list[Path]:
    """Return the files that are named, and the pictures in and below folders that are, in order.

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
    left_out = None if results is None else results.resolve()
    for path in folder.rglob("*"):
        is_result = left_out is not None and left_out in path.resolve().parents
        if path.suffix.lower() in SUFFIXES and not is_result and path.is_file():
            yield path
