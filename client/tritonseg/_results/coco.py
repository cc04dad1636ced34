"""Class maps as COCO's compressed run-length encoding.

Source: rleEncode and rleToString in `common/maskApi.c` of github.com/cocodataset/cocoapi. Runs go
down the columns and begin with background; each but the first three is stored as its difference to
the one before the last, in groups of 5 bits, the lowest first, as characters from "0" on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_BITS: Final = 5
_SIGN: Final = 1 << (_BITS - 1)
_MORE: Final = 1 << _BITS
_FIRST_CHARACTER: Final = 48

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassRuns:
    """Where one class is, in runs down the columns.

    Attributes:
        index: Of the class.
        size: (H, W) of the map.
        starts: Position of every run's first pixel, column by column.
        ends: Position behind its last.
    """

    index: int
    size: tuple[int, int]
    starts: _Ints
    ends: _Ints

    @property
    def area(self) -> int:
        """Pixels."""
        return int((self.ends - self.starts).sum())

    @property
    def box_xywh(self) -> tuple[int, int, int, int]:
        """The smallest rectangle around them: left, top, width, height, in pixels."""
        height, _ = self.size
        first, last = self.starts // height, (self.ends - 1) // height
        left, right = int(first.min()), int(last.max()) + 1
        if (first != last).any():  # a run that goes on in the next column
            top, bottom = 0, height
        else:
            top = int((self.starts % height).min())
            bottom = int(((self.ends - 1) % height).max()) + 1
        return left, top, right - left, bottom - top

    def to_rle(self) -> dict[str, Any]:
        """Return `{"size": [H, W], "counts": str}`, as pycocotools reads it."""
        height, width = self.size
        bounds = np.empty(2 * len(self.starts) + 2, np.int64)
        bounds[0], bounds[-1] = 0, height * width
        bounds[1:-1:2], bounds[2:-1:2] = self.starts, self.ends
        counts = np.diff(bounds)
        if counts[-1] == 0:
            counts = counts[:-1]
        return {"size": [height, width], "counts": _text(counts)}

    def to_annotation(self, name: str, *, image_id: int, annotation_id: int) -> dict[str, Any]:
        """Return the annotation of this class, whose name is given, as COCO's files have it."""
        return {
            "id": annotation_id,
            "image_id": image_id,
            "category_id": self.index,
            "category": name,
            "segmentation": self.to_rle(),
            "area": self.area,
            "bbox": list(self.box_xywh),
            "iscrowd": 0,
        }


def class_runs(class_map: npt.NDArray[np.uint8]) -> Iterator[ClassRuns]:
    """Yield the runs of every class that is there, by index.

    Args:
        class_map: (H, W).
    """
    height, width = class_map.shape
    pixels = class_map.T.ravel()
    starts = np.concatenate([[0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1])
    ends = np.append(starts[1:], pixels.size)
    classes = pixels[starts]
    for index in np.unique(classes):
        own = classes == index
        yield ClassRuns(index=int(index), size=(height, width), starts=starts[own], ends=ends[own])


def _text(counts: _Ints) -> str:
    differences = counts.copy()
    differences[3:] -= counts[1:-2]
    characters = bytearray()
    for difference in differences.tolist():
        rest, is_more = difference, True
        while is_more:
            group = rest & (_MORE - 1)
            rest >>= _BITS
            is_more = rest != (-1 if group & _SIGN else 0)
            characters.append(_FIRST_CHARACTER + group + (_MORE if is_more else 0))
    return characters.decode("ascii")
