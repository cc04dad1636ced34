"""Whether labels are those of the classes, found before anything is judged by them.

Wrong labels give both networks the same wrong figure, and a gate that compares figures passes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.errors import CalibrationError
from tritonseg_engines.gate.metrics import ConfusionMatrix
from tritonseg_engines.running.pictures import Picture, counted

SHIFTED_SHARE = 0.5
"""Of the pixels, at which the reference must be one beside the label to speak of a shift."""
MASK_VALUE = 255
NAMED_VALUES = 8


class LabelCheck:
    """Sees the labels of all pictures with what the reference network makes of these.

    Args:
        num_classes: Number of classes C.
        ignore_index: Label value whose pixels are left out, or None.
    """

    def __init__(self, num_classes: int, ignore_index: int | None) -> None:
        self._num_classes, self._ignore_index = num_classes, ignore_index
        self._histogram = np.zeros(MASK_VALUE + 1, np.int64)
        self._matrix = ConfusionMatrix(num_classes, ignore_index=ignore_index)
        self._pictures = 0
        self._where = ""

    def add(self, picture: Picture, class_map_hw: NDArray[np.uint8]) -> None:
        """See one picture.

        Args:
            picture: With labels or without.
            class_map_hw: `(H, W)` classes by the reference network.

        Raises:
            CalibrationError: A label is neither a class nor ignored.
        """
        if picture.labels_hw is None:
            return
        file = picture.labels_file
        histogram = np.bincount(picture.labels_hw.ravel(), minlength=len(self._histogram))
        self._check_values(histogram, f"labels of {picture.name}" if file is None else str(file))
        self._histogram += histogram
        self._matrix.add(picture.labels_hw, class_map_hw)
        self._pictures += 1
        self._where = "labels" if file is None else str(file.parent)

    def finish(self) -> None:
        """Judge all labels seen.

        Raises:
            CalibrationError: They are all ignored, or by one beside the classes, or no pixel has
                the class that the reference gives it.
        """
        if not self._pictures:
            return
        where = f"{self._where}: {counted(self._pictures, 'picture')}"
        total, hits = int(self._matrix.counts.sum()), int(np.trace(self._matrix.counts))
        if not total:
            raise CalibrationError(
                f"{where}: expected labels that are classes, got {self._ignore_index} in every "
                "pixel, which is the value to ignore: there is nothing to judge by"
            )
        if self._looks_like_a_mask():
            raise CalibrationError(
                f"{where}: expected class indices, got 0 and {MASK_VALUE} alone, of which "
                f"{MASK_VALUE} is the value to ignore: masks must be written as 0 and 1"
            )
        self._check_shift(where, total, hits)
        if not hits:
            raise CalibrationError(
                f"{where}: expected the fp32 network to give some pixel the class of its label, "
                f"got none of {total}: the labels are of other pictures, or of other classes"
            )

    def _check_values(self, histogram: NDArray[np.int64], where: str) -> None:
        strange = [
            int(value)
            for value in np.flatnonzero(histogram)
            if value >= self._num_classes and value != self._ignore_index
        ]
        if not strange:
            return
        seen = ", ".join(f"{value} ({histogram[value]} pixels)" for value in strange[:NAMED_VALUES])
        more = f" and {len(strange) - NAMED_VALUES} more" if strange[NAMED_VALUES:] else ""
        ignored = "" if self._ignore_index is None else f", or {self._ignore_index} to be ignored"
        raise CalibrationError(
            f"{where}: expected labels from 0 to {self._num_classes - 1}{ignored}, got "
            f"{seen}{more}{self._advice(strange, histogram)}"
        )

    def _advice(self, strange: list[int], histogram: NDArray[np.int64]) -> str:
        if strange == [self._num_classes] and not histogram[0]:
            return "; these labels count from 1: subtract 1, and let what was 0 be ignored"
        if strange == [MASK_VALUE]:
            if not histogram[1:MASK_VALUE].any():
                return f"; masks of 0 and {MASK_VALUE} must be written as 0 and 1"
            return f"; `ignore_index: {MASK_VALUE}` in the specification leaves such pixels out"
        return ""

    def _looks_like_a_mask(self) -> bool:
        seen = np.flatnonzero(self._histogram).tolist()
        return seen == [0, MASK_VALUE] and self._ignore_index == MASK_VALUE

    def _check_shift(self, where: str, total: int, hits: int) -> None:
        for above in (1, -1):
            shifted = int(np.trace(self._matrix.counts, offset=-above))
            if shifted > SHIFTED_SHARE * total and shifted > 2 * hits:
                raise CalibrationError(
                    f"{where}: expected labels that are the classes' indices, got labels that are "
                    f"the fp32 network's class {above:+d} in {shifted / total:.1%} of the pixels, "
                    f"and that class in {hits / total:.1%}: they count from {max(above, 0)} where "
                    f"the classes begin at {max(-above, 0)}"
                )
