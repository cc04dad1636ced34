"""How good a class map is: one confusion matrix over a data set, and what follows from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class ConfusionMatrix:
    """Counts pixels by (label, prediction) over any number of pictures.

    Args:
        num_classes: Number of classes C; predictions are below it.
        ignore_index: Label value whose pixels are left out, or None.

    Attributes:
        counts: `(C, C)` int64; row is the label, column the prediction.
    """

    def __init__(self, num_classes: int, *, ignore_index: int | None = None) -> None:
        self.counts = np.zeros((num_classes, num_classes), np.int64)
        self._ignore_index = ignore_index

    def add(self, labels_hw: NDArray[np.uint8], class_map_hw: NDArray[np.uint8]) -> None:
        """Count one picture.

        Args:
            labels_hw: `(H, W)` true classes, or the ignored value.
            class_map_hw: `(H, W)` predicted classes.

        Raises:
            ValueError: The shapes differ, or a label is neither a class nor ignored.
        """
        if labels_hw.shape != class_map_hw.shape:
            raise ValueError(
                f"expected labels and class map of one size, "
                f"got {labels_hw.shape} and {class_map_hw.shape}"
            )
        classes = len(self.counts)
        counted = labels_hw != self._ignore_index if self._ignore_index is not None else ...
        labels, predictions = labels_hw[counted].ravel(), class_map_hw[counted].ravel()
        if labels.size and max(labels.max(), predictions.max()) >= classes:
            raise ValueError(
                f"expected classes below {classes}, got label {labels.max()} "
                f"and prediction {predictions.max()}"
            )
        pairs = labels.astype(np.int64) * classes + predictions
        self.counts += np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union per class; NaN where a class neither occurs nor is predicted.

        Source: PASCAL VOC segmentation accuracy, TP / (TP + FP + FN).
        """
        hits = np.diag(self.counts)
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) - hits
        iou: NDArray[np.float64] = np.divide(
            hits, union, out=np.full(len(hits), np.nan), where=union > 0
        )
        return iou

    @property
    def mean_iou(self) -> float:
        """Mean of `iou` over the classes that occur or are predicted; NaN if nothing was."""
        present = self.iou[~np.isnan(self.iou)]
        return float(present.mean()) if present.size else float("nan")

    @property
    def pixel_accuracy(self) -> float:
        """Share of counted pixels whose class is right; NaN if nothing was counted."""
        total = self.counts.sum()
        return float(np.trace(self.counts) / total) if total else float("nan")
