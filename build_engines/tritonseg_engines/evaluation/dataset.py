"""A labelled data set: which pictures there are, where their labels lie, and what those mean."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tritonseg_engines.errors import EvaluationError
from tritonseg_engines.evaluation.label_sets import LabelSet
from tritonseg_engines.picture_files import SUFFIXES

NAMED_FILES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledPicture:
    """One picture and its labels.

    Attributes:
        name: Below the folder of all pictures, for reports and the journal.
        image: The picture's file.
        labels: The labels' file, a PNG.
    """

    name: str
    image: Path
    labels: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """Pictures with labels.

    Attributes:
        format: How it is laid out, as `--format` has it.
        split: Which part of it; None where it has no parts.
        root: The folder that the user named.
        pictures: In the order in which they are sent.
        label_set: What label values mean; None where they are the model's own class indices.
        remarks: What else was found that a reader should know, as sentences.
    """

    format: str
    split: str | None
    root: Path
    pictures: tuple[LabelledPicture, ...] = field(repr=False)
    label_set: LabelSet | None
    remarks: tuple[str, ...] = ()

    def shown(self, index: int) -> str:
        """Return a picture's name as one line of text, whatever bytes it has."""
        return one_line(self.pictures[index].name)

    @property
    def title(self) -> str:
        """Format, part and size in words."""
        part = "" if self.split is None else f" {self.split}"
        count = len(self.pictures)
        return f"{self.format}{part}, {count} picture{'' if count == 1 else 's'}"

    def digest(self) -> str:
        """Return a SHA-256 of which files there are, with sizes and times, in hexadecimal digits.

        Raises:
            OSError: A file is gone.
        """
        digest = hashlib.sha256()
        for picture in self.pictures:
            for file in (picture.image, picture.labels):
                state = file.stat()
                line = f"{picture.name}\t{file.name}\t{state.st_size}\t{state.st_mtime_ns}\n"
                digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()


def checked_pictures(pairs: Iterable[LabelledPicture], where: Path) -> tuple[LabelledPicture, ...]:
    """Return pictures that all have labels of their own.

    Args:
        pairs: As a layout has them.
        where: Folder of the pictures, for messages.

    Raises:
        EvaluationError: There is no picture, labels are missing, or two pictures share a name or a
            file.
    """
    pictures = tuple(pairs)
    if not pictures:
        raise EvaluationError(f"{where}: expected pictures, found none")
    by_labels: dict[Path, LabelledPicture] = {}
    for picture in pictures:
        other = by_labels.setdefault(picture.labels, picture)
        if other is not picture:
            raise EvaluationError(
                f"{where}: expected one picture for each file of labels, got {other.name} and "
                f"{picture.name} for {picture.labels.name}"
            )
    missing = [picture for picture in pictures if not picture.labels.is_file()]
    if missing:
        raise EvaluationError(
            f"{missing[0].name}: expected its labels at {missing[0].labels}, found none"
            f"{_and_more(len(missing) - 1)}"
        )
    for picture in pictures:
        if picture.labels.samefile(picture.image):
            raise EvaluationError(
                f"{picture.image}: expected a picture and its labels, got one file for both"
            )
    return pictures


def _and_more(count: int) -> str:
    if not count:
        return ""
    return f"; {count} more picture{' has' if count == 1 else 's have'} none either"


def without_picture(labels: Iterable[Path], pictures: Iterable[LabelledPicture]) -> tuple[str, ...]:
    """Return a remark on label files that belong to no picture, if there are any."""
    used = {picture.labels for picture in pictures}
    left = sorted(file.name for file in labels if file not in used)
    if not left:
        return ()
    named = ", ".join(map(one_line, left[:NAMED_FILES]))
    more = ", ..." if len(left) > NAMED_FILES else ""
    count = (
        "1 label file has no picture and is"
        if len(left) == 1
        else (f"{len(left)} label files have no picture and are")
    )
    return (f"{count} left out: {named}{more}",)


def is_picture(file: Path) -> bool:
    """Return whether a file is called like a picture."""
    return file.suffix.lower() in SUFFIXES


def folders_of_pictures(beside: Iterable[Path], labels: Path) -> list[Path]:
    """Return which of the files and folders beside pictures hold more of them, not labels."""
    return [
        folder
        for folder in beside
        if folder.is_dir()
        and not labels.resolve().is_relative_to(folder.resolve())
        and any(map(is_picture, folder.iterdir()))
    ]


def not_looked_into(folders: Sequence[Path]) -> tuple[str, ...]:
    """Return a remark on folders whose pictures are not evaluated, if there are any."""
    if not folders:
        return ()
    named = ", ".join(one_line(folder.name) for folder in folders[:NAMED_FILES])
    more = ", ..." if len(folders) > NAMED_FILES else ""
    return (f"pictures in folders below are left out: {named}{more}",)


def one_line(name: str) -> str:
    """Return a file's name as text that can be written: such names may be no UTF-8, or lines."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in name)
