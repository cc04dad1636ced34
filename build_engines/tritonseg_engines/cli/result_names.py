"""Where the results of several pictures go: decided before anything is sent, so nothing is lost.

A picture's results are NAME.png, NAME.color.png and NAME.overlay.jpg. NAME is the file's name
without its suffix. Where that would share a file with another picture's results or with a picture
itself, NAME has the file's folders too, from the folder on that all pictures have in common; and
where that is not enough (street.jpg beside street.png), the file's whole name.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFiles:
    """The files that one picture's results are written to.

    Attributes:
        class_map: PNG of class indices, grey, 8 bits.
        color_map: PNG of the classes' colours.
        overlay: JPEG of the picture with those laid over it.
    """

    class_map: Path
    color_map: Path
    overlay: Path

    @classmethod
    def named(cls, stem: Path) -> ResultFiles:
        """Return the files of one NAME."""
        return cls(
            class_map=_appended(stem, ".png"),
            color_map=_appended(stem, ".color.png"),
            overlay=_appended(stem, ".overlay.jpg"),
        )

    def __iter__(self) -> Iterator[Path]:
        yield from (self.class_map, self.color_map, self.overlay)


def result_files(
    images: Sequence[Path], folder: Path, *, overwrite: bool
) -> Mapping[Path, ResultFiles]:
    """Return where each picture's results go; a picture that is given twice is done once.

    Args:
        images: As given on the command line.
        folder: For the results.
        overwrite: Whether results may take the place of files that are there, never of a picture.

    Raises:
        click.ClickException: A file would be lost.
    """
    given: dict[Path, Path] = {}
    for image in images:
        given.setdefault(_absolute(image), image)
    absolute = folder.resolve()
    named = _without_clashes(given, absolute)
    planned = {
        given[path]: ResultFiles.named(folder / stem.relative_to(absolute))
        for path, stem in named.items()
    }
    if not overwrite:
        _refuse_existing([path for files in planned.values() for path in files])
    return planned


def _without_clashes(images: Mapping[Path, Path], folder: Path) -> dict[Path, Path]:
    """Return a NAME in the folder for every picture, as short as it can be.

    Args:
        images: The pictures as given, by their absolute paths.
        folder: For the results, absolute.
    """
    common = Path(os.path.commonpath([image.parent for image in images]))
    ways: Final[tuple[Callable[[Path], Path], ...]] = (
        lambda image: Path(image.stem),
        lambda image: image.relative_to(common).with_name(image.stem),
        lambda image: image.relative_to(common),
    )
    lengths = dict.fromkeys(images, 0)
    while True:
        names = {image: folder / ways[length](image) for image, length in lengths.items()}
        clashing = _clashing(names)
        longer = [image for image in clashing if lengths[image] < len(ways) - 1]
        if not clashing:
            return names
        if not longer:
            raise click.ClickException(
                f"{images[clashing[0]]}: its results would take the place of a picture, or of "
                "another picture's results; give another folder with -o"
            )
        for image in longer:
            lengths[image] += 1


def _clashing(names: Mapping[Path, Path]) -> list[Path]:
    """Return the pictures of which a result is a picture, or another's result or its folder."""
    claims = Counter(file for stem in names.values() for file in ResultFiles.named(stem))
    folders = {parent for stem in names.values() for parent in stem.parents}
    inputs = _identities(names)
    return [
        image
        for image, stem in names.items()
        if any(
            claims[file] > 1 or file in folders or file in names or _identity(file) in inputs
            for file in ResultFiles.named(stem)
        )
    ]


def _refuse_existing(files: Sequence[Path]) -> None:
    existing = [path for path in files if _is_there(path)]
    if existing:
        others = f" and {len(existing) - 1} more" if existing[1:] else ""
        raise click.ClickException(
            f"{existing[0]}{others} would be replaced: give --overwrite, or --resume to leave out "
            "what is done, or another folder with -o"
        )


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def _identities(paths: Mapping[Path, Path]) -> set[tuple[int, int] | None]:
    return {_identity(path) for path in paths} - {None}


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from others, whatever links lead to it; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _absolute(image: Path) -> Path:
    # A link to a picture is a picture of its own name, so only its folder is resolved.
    return image.parent.resolve() / image.name


def _appended(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)
