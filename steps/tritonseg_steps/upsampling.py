"""From the network's scores to a class per pixel of the picture, as one operation.

The usual way upsamples all C score planes to full size (159 MB at 1024x2048 and 19 classes) and
takes the argmax of that. Here no full-size score plane ever exists; the result is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tritonseg_steps.confidence_kernel import upsample_confidence
from tritonseg_steps.geometry import Axis, Geometry
from tritonseg_steps.kernels import lowest_argmax, upsample_argmax
from tritonseg_steps.validation import exact_keys, one_of

KINDS = ("scores", "class_map")
CONFIDENCES = ("softmax", "probability")


@dataclass(frozen=True, kw_only=True, slots=True)
class Upsampling:
    """How the network's last tensor becomes a class map at the picture's size.

    Attributes:
        kind: "scores" (`(C, h, w)`, highest wins) or "class_map" (`(h, w)` class indices).
        align_corners: Whether the corner *centres* of the two grids coincide (else their edges).
            Class indices are always taken from the nearest cell.
        confidence: What the interpolated scores say of the highest one's class: its "softmax", of
            logits, or that score, which is a "probability" already; None where they say nothing.
    """

    kind: str = "scores"
    align_corners: bool = False
    confidence: str | None = "softmax"

    def __post_init__(self) -> None:
        one_of("upsampling.kind", self.kind, KINDS)
        if self.confidence is not None:
            one_of("upsampling.confidence", self.confidence, CONFIDENCES)
        if self.confidence is not None and self.kind == "class_map":
            raise ValueError(
                f"upsampling.confidence: expected none of classes, got {self.confidence}"
            )
        if not isinstance(self.align_corners, bool):
            raise ValueError(
                f"upsampling.align_corners: expected true or false, got {self.align_corners!r}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return a document that `from_json` reads back to an equal value."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Upsampling:
        """Read what `to_json` wrote.

        Raises:
            ValueError: A key is unknown, missing, or holds something else than documented.
        """
        exact_keys("upsampling", document, [field.name for field in fields(cls)])
        return cls(**document)


def class_map_from_scores(
    scores_chw: NDArray[np.float32], geometry: Geometry, *, align_corners: bool = False
) -> NDArray[np.uint8]:
    """Return the argmax of the scores, bilinearly interpolated at the picture's pixels.

    The interpolation goes straight from the scores' grid to the picture's, which is what
    upsampling to the network's size, cropping the padding and resizing would approximate.

    Args:
        scores_chw: `(C, h, w)` float32, 1 <= C <= 256, over the whole network input.
        geometry: Where the picture lies in the network input.
        align_corners: As in `Upsampling`.

    Returns:
        `(H, W)` uint8 class indices at `geometry.image_hw`; ties go to the lower class.

    Source:
        Half-pixel and align-corners coordinates: ONNX operator Resize, version 13.
    """
    rows, columns = score_cells(scores_chw.shape[1:], geometry, align_corners=align_corners)
    classes_hw = np.empty(scores_chw.shape[1:], np.uint8)
    lowest_argmax(scores_chw, classes_hw)
    class_map_hw = np.empty(geometry.image_hw, np.uint8)
    upsample_argmax(scores_chw, classes_hw, *rows, *columns, class_map_hw)
    return mark_outside(class_map_hw, geometry, geometry.outside)


NOT_FINITE: Final = "the network gave NaN or infinite scores for this picture"
OTHER_CLASS: Final = "the network gave another class than those of the model for this picture"


def flaw(output: NDArray[Any], upsampling: Upsampling, class_count: int) -> str | None:
    """Return why what a network gave for one picture means no classes, or None if it does.

    Args:
        output: `(C, h, w)` float32 scores, or an `(h, w)` uint8 class map.
        upsampling: Which of the two.
        class_count: Of the model.
    """
    if upsampling.kind == "class_map":
        return OTHER_CLASS if output.max() >= class_count else None
    return None if _all_finite(output) else NOT_FINITE


def _all_finite(scores_chw: NDArray[np.float32]) -> bool:
    """Return whether every score is a number.

    One pass: neither NaN nor an infinity leaves a sum finite. A second only where the first does
    not settle it, because numbers can add up to infinity too.
    """
    with np.errstate(all="ignore"):
        if np.isfinite(scores_chw.sum()):
            return True
    return bool(np.isfinite(scores_chw).all())


def confidence_from_scores(
    scores_chw: NDArray[np.float32],
    geometry: Geometry,
    *,
    align_corners: bool = False,
    are_probabilities: bool = False,
) -> NDArray[np.uint8]:
    """Return how sure the network is of the class that `class_map_from_scores` gives a pixel.

    Args:
        scores_chw: `(C, h, w)` float32 over the whole network input.
        geometry: Where the picture lies in the network input.
        align_corners: As in `Upsampling`.
        are_probabilities: Whether scores are, or else logits.

    Returns:
        `(H, W)` uint8 at `geometry.image_hw`: 255 times the highest of the interpolated scores, or
        the softmax there, rounded.
    """
    rows, columns = score_cells(scores_chw.shape[1:], geometry, align_corners=align_corners)
    confidence_hw = np.empty(geometry.image_hw, np.uint8)
    upsample_confidence(scores_chw, *rows, *columns, are_probabilities, confidence_hw)
    return mark_outside(confidence_hw, geometry, 0)


def class_map_at_image_size(
    classes_hw: NDArray[np.integer[Any]], geometry: Geometry
) -> NDArray[np.uint8]:
    """Return class indices taken from the nearest cell of a map over the network input.

    Args:
        classes_hw: `(h, w)` integers in 0-255.
        geometry: Where the picture lies in the network input.

    Returns:
        `(H, W)` uint8 at `geometry.image_hw`.
    """
    rows, columns = (
        nearest_cells(cells, axis)
        for cells, axis in zip(classes_hw.shape, geometry.axes(), strict=True)
    )
    class_map_hw: NDArray[np.uint8] = classes_hw.astype(np.uint8)[rows[:, None], columns]
    return mark_outside(class_map_hw, geometry, geometry.outside)


def mark_outside(
    values_hw: NDArray[np.uint8], geometry: Geometry, value: int | None
) -> NDArray[np.uint8]:
    """Give the pixels that were cut off a value, in place, and return the same array."""
    if geometry.outside is not None and value is not None:
        rows, columns = (axis.in_image() for axis in geometry.axes())
        values_hw[: rows.start] = value
        values_hw[rows.stop :] = value
        values_hw[rows, : columns.start] = value
        values_hw[rows, columns.stop :] = value
    return values_hw


Cells = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Where the output pixels of every cell start, and how far in its cell every pixel lies."""


def score_cells(
    scores_hw: tuple[int, ...], geometry: Geometry, *, align_corners: bool
) -> tuple[Cells, Cells]:
    """Lay the picture's rows and columns into the cells of the scores.

    Args:
        scores_hw: `(h, w)` of the scores.
        geometry: Where the picture lies in the network input.
        align_corners: As in `Upsampling`.

    Returns:
        The `Cells` of the rows and those of the columns.
    """
    rows, columns = (
        _source_cells(cells, axis, align_corners=align_corners)
        for cells, axis in zip(scores_hw, geometry.axes(), strict=True)
    )
    return rows, columns


def _source_cells(cells: int, axis: Axis, *, align_corners: bool) -> Cells:
    """Lay the picture's pixels along one axis into the cells of the scores."""
    pixel = np.arange(axis.image, dtype=np.float64)
    if align_corners:
        network_pixel = (pixel + 0.5) * (axis.content / axis.image) - 0.5 + axis.offset
        position = network_pixel * ((cells - 1) / max(1, axis.network - 1))
    else:
        position = (pixel + 0.5) * (axis.content / axis.image * cells / axis.network) - 0.5
        position += axis.offset * cells / axis.network
    first, end = _content_cells(cells, axis)
    position = position.clip(first, end - 1)
    cell = np.floor(position)
    starts = np.searchsorted(cell, np.arange(end + 1))
    return starts.astype(np.int64), (position - cell).astype(np.float32)


def nearest_cells(cells: int, axis: Axis) -> NDArray[np.int64]:
    """Return the cell that every pixel of the picture takes its class from, along one axis.

    Args:
        cells: Length of the class map, which is over the network input.
        axis: Where the picture lies in that.

    Returns:
        `(axis.image,)` int64.
    """
    # In integers, because a centre on the edge of two cells must not go by a rounding.
    twice_centre = 2 * np.arange(axis.image, dtype=np.int64) + 1
    twice_place = twice_centre * axis.content + 2 * axis.image * axis.offset
    cell: NDArray[np.int64] = twice_place * cells // (2 * axis.image * axis.network)
    first, end = _content_cells(cells, axis)
    return cell.clip(first, end - 1)


def _content_cells(cells: int, axis: Axis) -> tuple[int, int]:
    """Return the first cell that the picture's content reaches, and the first behind it.

    The cells of the padding are cropped.
    """
    end = -(-(axis.offset + axis.content) * cells // axis.network)
    return max(0, axis.offset * cells // axis.network), min(cells, end)
