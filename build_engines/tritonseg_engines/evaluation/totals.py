"""Sums over pictures, of a size that is known when the first of them is sent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.evaluation.counts import CONFIDENCE_BINS, ModelCounts, PictureCounts


class ModelTotals:
    """What one model did on all pictures so far.

    Args:
        class_count: Number of classes C.
        picture_count: Number of pictures N.

    Attributes:
        confusion: (C, C) int64 pixels, by label and prediction.
        boundary: (2, C) int64, intersection and union of the classes' boundaries.
        calibration: (3, B) int64, as in `ModelCounts`; None where no confidence came.
        by_picture: (N, 2, C) int64, every picture's intersection and union.
    """

    def __init__(self, class_count: int, picture_count: int) -> None:
        self.confusion = np.zeros((class_count, class_count), np.int64)
        self.boundary = np.zeros((2, class_count), np.int64)
        self.calibration: NDArray[np.int64] | None = None
        self.by_picture = np.zeros((picture_count, 2, class_count), np.int64)

    def add(self, index: int, counts: ModelCounts) -> None:
        """Add a picture's."""
        self.confusion += counts.confusion
        self.boundary += counts.boundary
        self.by_picture[index] = counts.intersection_and_union
        if counts.calibration is not None:
            if self.calibration is None:
                self.calibration = np.zeros((3, CONFIDENCE_BINS), np.int64)
            self.calibration += counts.calibration

    @property
    def right_by_picture(self) -> NDArray[np.int64]:
        """(N,) int64, pixels whose class is the label's."""
        right: NDArray[np.int64] = self.by_picture[:, 0].sum(axis=1)
        return right

    @property
    def labelled_by_picture(self) -> NDArray[np.int64]:
        """(N,) int64, pixels whose label says something; each is in the union once or twice."""
        labelled: NDArray[np.int64] = self.by_picture.sum(axis=(1, 2)) // 2
        return labelled


class Totals:
    """What all models did on all pictures so far.

    Args:
        class_count: Number of classes.
        picture_count: Number of pictures N.
        model_count: Number of models.

    Attributes:
        models: In the order in which they were named.
        changed: (N, models - 1) int64 pixels with another class than the first model's.
        pixels: (N,) int64, of every picture, ignored ones too.
        sizes: Heights and widths that occur; the first few.
        is_counted: (N,) bool, the pictures that are in the sums.
    """

    MOST_SIZES = 100

    def __init__(self, class_count: int, picture_count: int, model_count: int) -> None:
        self.models: Sequence[ModelTotals] = [
            ModelTotals(class_count, picture_count) for _ in range(model_count)
        ]
        self.changed = np.zeros((picture_count, model_count - 1), np.int64)
        self.pixels = np.zeros(picture_count, np.int64)
        self.sizes: set[tuple[int, int]] = set()
        self.is_counted = np.zeros(picture_count, np.bool_)

    def add(self, counts: PictureCounts) -> None:
        """Add a picture that is not in the sums yet."""
        index = counts.index
        self.is_counted[index] = True
        self.pixels[index] = counts.size_hw[0] * counts.size_hw[1]
        self.changed[index] = counts.changed
        if len(self.sizes) < self.MOST_SIZES:
            self.sizes.add(counts.size_hw)
        for totals, one in zip(self.models, counts.models, strict=True):
            totals.add(index, one)
