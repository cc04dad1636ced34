"""Pictures through the server, counted as they come back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from tritonseg import Segmentation, SegmentationError, load_image
from tritonseg_engines.errors import EvaluationError
from tritonseg_engines.evaluation.contender import Contender, told_apart
from tritonseg_engines.evaluation.counts import PictureCounts, count_picture
from tritonseg_engines.evaluation.dataset import Dataset
from tritonseg_engines.evaluation.journal import ANEW, Journal
from tritonseg_engines.evaluation.label_check import check_labels
from tritonseg_engines.evaluation.label_coding import LabelCoding
from tritonseg_engines.evaluation.orientation import check_orientation
from tritonseg_engines.evaluation.totals import Totals
from tritonseg_engines.in_order import in_order
from tritonseg_engines.progress import Progress, unheard
from tritonseg_engines.running.labels import read_labels

JOURNAL_FORM: Final = 2
"""Of the lines in a journal; 1 had checksums of single lines."""
CHECKED_EARLY: Final = 20
"""Pictures after which labels of other classes are noticed, before hours are spent on them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What is measured on what.

    Attributes:
        dataset: Pictures with labels.
        coding: Which of the first model's classes each label value is.
        contenders: The models; the first is the one that others are compared with.
        max_in_flight: How many pictures are worked on at once.
    """

    dataset: Dataset
    coding: LabelCoding
    contenders: Sequence[Contender] = field(repr=False)
    max_in_flight: int = 8

    @property
    def titles(self) -> list[str]:
        """What to call each model."""
        return told_apart(self.contenders)

    def header(self) -> dict[str, Any]:
        """Return all that the counts depend on, as JSON."""
        return {
            "form": JOURNAL_FORM,
            "models": [contender.identity() for contender in self.contenders],
            "dataset": {"format": self.dataset.format, "files": self.dataset.digest()},
            "labels": hashlib.sha256(self.coding.table.tobytes()).hexdigest(),
        }

    def segmented(self, index: int) -> tuple[np.ndarray[Any, Any], list[Segmentation]]:
        """Return a picture's labels, (H, W) int16, and what the models make of it.

        Raises:
            EvaluationError: A label is no class, it is not known which way the labels lie, their
                file is damaged, or a model was replaced.
            CalibrationError: The labels are no class indices, or of another size.
            SegmentationError: The picture could not be segmented.
        """
        picture = self.dataset.pictures[index]
        source: Path | np.ndarray[Any, np.dtype[np.uint8]] = picture.image
        if self.contenders[0].asked.transport != "encoded":
            source = load_image(picture.image)  # once for all models
        results = [contender.segment(source) for contender in self.contenders]
        check_orientation(picture.image)
        values_hw = read_labels(picture.labels, results[0].image_size)
        return self.coding.applied(values_hw, picture.labels), results

    def count(self, index: int) -> PictureCounts:
        """Return what is counted on a picture; raises what `segmented` raises."""
        labels_hw, results = self.segmented(index)
        maps = [
            (contender.class_map(result), result.confidence)
            for contender, result in zip(self.contenders, results, strict=True)
        ]
        return count_picture(index, labels_hw, maps, len(self.coding.classes))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Measured:
    """What a run came to.

    Attributes:
        totals: Sums over all pictures.
        pictures_now: How many this very run segmented; others were done before.
        elapsed_s: Seconds that it took for them.
    """

    totals: Totals
    pictures_now: int
    elapsed_s: float

    @property
    def pictures_per_s(self) -> float | None:
        """Throughput of this run; None where all was done before."""
        return self.pictures_now / self.elapsed_s if self.pictures_now else None


def measure(evaluation: Evaluation, journal: Journal, progress: Progress = unheard) -> Measured:
    """Send all pictures that the journal does not have, and add up what is counted.

    Args:
        evaluation: What is measured.
        journal: Of this evaluation.
        progress: Told after every picture.

    Raises:
        EvaluationError: Labels are not what they should be, or a model or files were replaced; no
            figure of what was counted would be true.
        CalibrationError: A file of labels cannot be read.
        SegmentationError: A picture could not be segmented; names it.
    """
    count, files = len(evaluation.dataset.pictures), evaluation.dataset.digest()
    totals = Totals(len(evaluation.coding.classes), count, len(evaluation.contenders))
    for counts in journal.counted(len(evaluation.coding.classes)):
        totals.add(counts)
    left = [int(index) for index in np.flatnonzero(~totals.is_counted)]
    begun = time.monotonic()
    progress("evaluating", count - len(left), count)
    work = _named(evaluation)
    for done, counts in enumerate(in_order(left, work, evaluation.max_in_flight), 1):
        journal.append(counts)
        totals.add(counts)
        progress("evaluating", count - len(left) + done, count)
        if done == CHECKED_EARLY:
            check_labels(totals.models[0].confusion, evaluation.coding.classes, so_far=True)
    elapsed_s = time.monotonic() - begun
    if evaluation.dataset.digest() != files:
        raise EvaluationError(
            f"{evaluation.dataset.root}: pictures or labels were changed during the run, so that "
            f"what was counted is of several data sets; {ANEW}"
        )
    check_labels(totals.models[0].confusion, evaluation.coding.classes)
    return Measured(totals=totals, pictures_now=len(left), elapsed_s=elapsed_s)


def _named(evaluation: Evaluation) -> Callable[[int], PictureCounts]:
    """Return what counts a picture and names it if that fails."""

    def work(index: int) -> PictureCounts:
        try:
            return evaluation.count(index)
        except SegmentationError as error:
            image = str(evaluation.dataset.pictures[index].image)
            if image not in str(error) and isinstance(error.args[0], str):
                error.args = (f"{image}: {error.args[0]}", *error.args[1:])
            raise

    return work
