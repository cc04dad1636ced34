"""What is counted on one picture; all figures are made of sums of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.evaluation.boundary import boundaries, boundary_width_px

CONFIDENCE_BINS: Final = 15
"""Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017."""
_LEVELS_PER_BIN: Final = 255 // CONFIDENCE_BINS


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ModelCounts:
    """One model on one picture.

    Attributes:
        confusion: (C, C) int64 pixels, by label and prediction; ignored ones are left out.
        boundary: (2, C) int64, intersection and union of the classes' boundaries, in pixels.
        calibration: (3, B) int64 by bin of confidence: pixels, those that are right, and the sum of
            the confidences, 0-255; None where none was asked for.
    """

    confusion: NDArray[np.int64]
    boundary: NDArray[np.int64]
    calibration: NDArray[np.int64] | None

    @property
    def intersection_and_union(self) -> NDArray[np.int64]:
        """(2, C) int64 pixels, of every class."""
        hits = np.diagonal(self.confusion)
        union = self.confusion.sum(axis=0) + self.confusion.sum(axis=1) - hits
        return np.stack([hits, union])

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes, short where most classes are absent."""
        rows, columns = np.nonzero(self.confusion)
        counts = np.stack([rows, columns, self.confusion[rows, columns]], axis=1)
        return {
            "confusion": counts.tolist(),
            "boundary": self.boundary.tolist(),
            "calibration": None if self.calibration is None else self.calibration.tolist(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any], class_count: int) -> ModelCounts:
        """Return the counts of a document.

        Raises:
            KeyError, TypeError, ValueError, IndexError: It is none of these.
        """
        confusion = np.zeros((class_count, class_count), np.int64)
        for row, column, pixels in document["confusion"]:
            confusion[row, column] = pixels
        boundary = np.array(document["boundary"], np.int64).reshape(2, class_count)
        bins = document["calibration"]
        calibration = None if bins is None else np.array(bins, np.int64).reshape(3, CONFIDENCE_BINS)
        return cls(confusion=confusion, boundary=boundary, calibration=calibration)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PictureCounts:
    """All models on one picture.

    Attributes:
        index: Of the picture in the data set.
        size_hw: Of the picture, in pixels.
        models: In the order in which they were named.
        changed: Pixels with another class than the first model's, ignored ones too, of each of the
            other models.
    """

    index: int
    size_hw: tuple[int, int]
    models: tuple[ModelCounts, ...]
    changed: tuple[int, ...]


def count_picture(
    index: int,
    labels_hw: NDArray[np.int16],
    maps: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8] | None]],
    class_count: int,
) -> PictureCounts:
    """Count one picture.

    Args:
        index: Of the picture in the data set.
        labels_hw: (H, W) int16 classes, below 0 where the label says nothing.
        maps: Of every model the class map and the confidence, both (H, W) uint8.
        class_count: Number of classes C.
    """
    first, _ = maps[0]
    height, width = labels_hw.shape
    return PictureCounts(
        index=index,
        size_hw=(height, width),
        models=tuple(count_model(labels_hw, *one, class_count) for one in maps),
        changed=tuple(int(np.count_nonzero(other != first)) for other, _ in maps[1:]),
    )


def count_model(
    labels_hw: NDArray[np.int16],
    class_map_hw: NDArray[np.uint8],
    confidence_hw: NDArray[np.uint8] | None,
    class_count: int,
) -> ModelCounts:
    """Count one model on one picture; arguments as of `count_picture`."""
    # Row 0 is what the labels ignore: leaving it out is cheaper than picking the others first.
    pairs = (np.maximum(labels_hw, -1).astype(np.int64) + 1) * class_count + class_map_hw
    counts = np.bincount(pairs.ravel(), minlength=(class_count + 1) * class_count)
    calibration = None
    if confidence_hw is not None:
        calibration = _calibration(labels_hw, class_map_hw, confidence_hw)
    return ModelCounts(
        confusion=counts.reshape(class_count + 1, class_count)[1:].astype(np.int64),
        boundary=_boundary(labels_hw, class_map_hw, class_count),
        calibration=calibration,
    )


def _boundary(
    labels_hw: NDArray[np.int16], class_map_hw: NDArray[np.uint8], class_count: int
) -> NDArray[np.int64]:
    width_px = boundary_width_px(*labels_hw.shape)
    predicted_hw = np.where(labels_hw >= 0, class_map_hw, -1).astype(np.int16)
    of_labels, of_prediction = boundaries(labels_hw, width_px), boundaries(predicted_hw, width_px)

    def pixels(where: NDArray[np.bool_], classes_hw: NDArray[np.int16]) -> NDArray[np.int64]:
        return np.bincount(classes_hw[where], minlength=class_count).astype(np.int64)

    both = of_labels & of_prediction & (labels_hw == predicted_hw)
    shared = pixels(both, labels_hw)
    union = pixels(of_labels, labels_hw) + pixels(of_prediction, predicted_hw) - shared
    return np.stack([shared, union])


def _calibration(
    labels_hw: NDArray[np.int16],
    class_map_hw: NDArray[np.uint8],
    confidence_hw: NDArray[np.uint8],
) -> NDArray[np.int64]:
    counted = labels_hw >= 0
    levels = confidence_hw[counted]
    right = labels_hw[counted] == class_map_hw[counted]
    by_level = np.bincount(levels, minlength=256)
    right_by_level = np.bincount(levels[right], minlength=256)
    # A bin holds what is above its lower edge, up to its upper: (0, 17], (17, 34] and so on.
    level = np.arange(256)
    bins = np.maximum(level - 1, 0) // _LEVELS_PER_BIN
    return np.stack(
        [
            np.bincount(bins, weights=weights, minlength=CONFIDENCE_BINS).astype(np.int64)
            for weights in (by_level, right_by_level, by_level * level)
        ]
    )
