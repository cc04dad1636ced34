"""The pictures that a build is calibrated with and judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import cv2
import numpy as np
from numpy.typing import NDArray

from tritonseg import InvalidImageError, load_image
from tritonseg_engines.errors import CalibrationError
from tritonseg_engines.picture_files import SUFFIXES
from tritonseg_engines.running.labels import read_labels

NOISE_CELL = 16
"""Pixels between two independent values of the noise: networks answer to white noise with one
class everywhere."""
NOISE_SPREAD = 64.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One picture and, where it is known, what is on it.

    Attributes:
        name: For reports; a file's name without folder.
        image_hwc: `(H, W, 3)` uint8 RGB.
        labels_hw: `(H, W)` uint8 true classes, or None.
        labels_file: Where those were read, for messages; None where they were not.
    """

    name: str
    image_hwc: NDArray[np.uint8]
    labels_hw: NDArray[np.uint8] | None = None
    labels_file: Path | None = None


class Pictures(Sequence[Picture]):
    """Pictures that are read or made one at a time, when they are asked for.

    Args:
        origin: What they are, as a report says it.
        read: Returns the picture of an index.
        count: How many there are.
        labelled: Whether they have labels.
    """

    def __init__(
        self, origin: str, read: Callable[[int], Picture], count: int, *, labelled: bool
    ) -> None:
        self.origin = origin
        self.labelled = labelled
        self._read = read
        self._indices = range(count)

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> Pictures: ...
    def __getitem__(self, index: int | slice) -> Picture | Pictures:
        if isinstance(index, int):
            return self._read(self._indices[index])
        part = Pictures(self.origin, self._read, 0, labelled=self.labelled)
        part._indices = self._indices[index]
        return part


def picture_folder(folder: Path, labels: Path | None = None) -> Pictures:
    """Return the pictures of a folder in the order of their names.

    Args:
        folder: Holds files of the usual formats; others and subfolders are left out.
        labels: Holds a PNG of the same stem for every picture, of the size at which that is
            displayed; a pixel's value, or its index in the palette, is a class.

    Raises:
        CalibrationError: A folder has no pictures, or a picture has no labels.
    """
    files = _picture_files(folder)
    if not files:
        raise CalibrationError(f"{folder}: expected pictures ({', '.join(SUFFIXES)}), found none")
    _refuse_same_names(files)
    label_files = [] if labels is None else [_label_file(labels, file) for file in files]

    def read(index: int) -> Picture:
        image_hwc = _read_image(files[index])
        file = label_files[index] if label_files else None
        height, width, _ = image_hwc.shape
        labels_hw = None if file is None else read_labels(file, (height, width))
        return Picture(
            name=files[index].name, image_hwc=image_hwc, labels_hw=labels_hw, labels_file=file
        )

    origin = f"{counted(len(files), 'picture')} of {folder}"
    return Pictures(origin, read, len(files), labelled=bool(label_files))


def smooth_noise(
    size_hw: tuple[int, int],
    count: int,
    *,
    seed: int = 0,
    cell: int = NOISE_CELL,
    spread: float = NOISE_SPREAD,
) -> Pictures:
    """Return coloured clouds: better than nothing where nobody gave pictures, and no more.

    Args:
        size_hw: Height and width.
        count: How many.
        seed: Of what is drawn.
        cell: Pixels between two independent values.
        spread: Standard deviation of those, in levels around 128.
    """
    height, width = size_hw

    def read(index: int) -> Picture:
        rng = np.random.default_rng((seed, index))
        coarse = rng.normal(128, spread, (height // cell + 2, width // cell + 2, 3))
        fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        return Picture(name=f"noise {index}", image_hwc=fine.clip(0, 255).astype(np.uint8))

    origin = f"{counted(count, 'picture')} of smooth noise, because no pictures were given"
    return Pictures(origin, read, count, labelled=False)


def counted(count: int, one: str) -> str:
    """Return how many there are of what is called `one` where it is one."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def _picture_files(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise CalibrationError(f"{folder}: cannot be read: {error.strerror}") from error
    return [entry for entry in entries if entry.suffix.lower() in SUFFIXES and entry.is_file()]


def _refuse_same_names(files: Sequence[Path]) -> None:
    """Refuse what would have one label file, or be one: labels that lie among the pictures."""
    first: dict[str, Path] = {}
    for file in files:
        other = first.setdefault(file.stem, file)
        if other is not file:
            raise CalibrationError(
                f"{file.parent}: expected one picture of a name, got {other.name} and {file.name}; "
                "labels belong in a folder of their own"
            )


def _label_file(labels: Path, picture: Path) -> Path:
    file = labels / f"{picture.stem}.png"
    if file.is_file() and file.samefile(picture):
        raise CalibrationError(
            f"{picture}: expected a picture and its labels, got one file for both; labels belong "
            "in a folder of their own"
        )
    if not file.is_file():
        raise CalibrationError(f"{picture.name}: expected its labels at {file}, found none")
    return file


def _read_image(path: Path) -> NDArray[np.uint8]:
    """Read a picture as a caller's would be, so that a build sees what will be served."""
    try:
        return load_image(path)
    except InvalidImageError as error:
        raise CalibrationError(str(error)) from error
