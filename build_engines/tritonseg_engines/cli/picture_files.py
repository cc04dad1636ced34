"""The pictures that a command is given: files, and all that lie in folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

SUFFIXES: Final = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
"""Of what the client decodes; a file of another name is taken where it is named itself."""


def picture_files(given: Sequence[Path], output: Path) -> list[Path]:
    """Return the files that are named, and the pictures in folders that are, in order.

    Args:
        given: As on the command line.
        output: The folder for results, which is not looked into.

    Raises:
        click.ClickException: A folder holds no picture, or is the folder for results.
    """
    found: list[Path] = []
    for path in given:
        if not path.is_dir():
            found.append(path)
            continue
        if path.resolve() == output.resolve():
            raise click.ClickException(
                f"{path} is the folder for the results as well; give another with -o"
            )
        pictures = sorted(_pictures_in(path, output.resolve()))
        if not pictures:
            raise click.ClickException(f"{path} holds no picture ({', '.join(sorted(SUFFIXES))})")
        found += pictures
    return found


def _pictures_in(folder: Path, results: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        is_result = results in path.resolve().parents
        if path.suffix.lower() in SUFFIXES and not is_result and path.is_file():
            yield path
