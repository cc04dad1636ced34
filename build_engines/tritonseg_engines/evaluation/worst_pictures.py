"""The pictures of a report: where a model is worst, and where it loses most against the first.

They are segmented once more when all is counted, so that nothing but counts is kept meanwhile and a
run that was interrupted shows the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tritonseg import Segmentation
from tritonseg_engines import html_page
from tritonseg_engines.evaluation.comparison import losses
from tritonseg_engines.evaluation.counts import count_model
from tritonseg_engines.evaluation.run import Evaluation
from tritonseg_engines.evaluation.totals import Totals
from tritonseg_engines.progress import Progress, unheard

PICTURES_SHOWN: Final = 6
LOSSES_SHOWN: Final = 3
"""For each model that is compared with the first."""
OPACITY: Final = 0.6
WRONG: Final = (255, 0, 60)
UNLABELLED: Final = (40, 40, 40)

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panels:
    """One picture of the report.

    Attributes:
        caption: What it is, and how bad.
        images: Title and (h, w, 3) uint8 RGB of each panel, scaled down.
        is_repeated: Whether its masks were those that were counted.
    """

    caption: str
    images: tuple[tuple[str, Image], ...] = field(repr=False)
    is_repeated: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A picture that is to be shown.

    Attributes:
        index: In the data set.
        caption: What it is, and how bad.
        positions: Of the models that are shown.
    """

    index: int
    caption: str
    positions: tuple[int, ...]


def chosen_pictures(evaluation: Evaluation, totals: Totals) -> list[Chosen]:
    """Return the pictures with the most wrong pixels, and those where another model loses most.

    Args:
        evaluation: What was measured.
        totals: Sums over all pictures.
    """
    first, dataset = totals.models[0], evaluation.dataset
    labelled = first.labelled_by_picture
    right = first.right_by_picture / np.maximum(labelled, 1)
    worst = [int(one) for one in np.argsort(right, kind="stable") if labelled[one]]
    chosen = [
        Chosen(
            index=index,
            caption=f"{dataset.shown(index)}: {right[index]:.1%} of the labelled pixels right",
            positions=(0,),
        )
        for index in worst[:PICTURES_SHOWN]
    ]
    for position in range(1, len(totals.models)):
        lost = losses(totals, position)
        most = [int(one) for one in np.argsort(-lost, kind="stable") if lost[one] > 0]
        title = evaluation.titles[position]
        chosen += [
            Chosen(
                index=index,
                caption=f"{dataset.shown(index)}: {title} has {lost[index]:.1%} fewer right",
                positions=(0, position),
            )
            for index in most[:LOSSES_SHOWN]
        ]
    return chosen


def panels_of(evaluation: Evaluation, totals: Totals, progress: Progress = unheard) -> list[Panels]:
    """Segment the pictures of the report once more, and draw them.

    Args:
        evaluation: What was measured.
        totals: Sums over all pictures.
        progress: Told after every picture.

    Raises:
        EvaluationError, CalibrationError, SegmentationError: As `measure`.
    """
    chosen, panels = chosen_pictures(evaluation, totals), []
    for done, one in enumerate(chosen, 1):
        labels_hw, results = evaluation.segmented(one.index)
        panels.append(
            Panels(
                caption=one.caption,
                images=_drawn(evaluation, one, labels_hw, results),
                is_repeated=_is_repeated(evaluation, totals, one.index, labels_hw, results),
            )
        )
        progress("drawing the worst", done, len(chosen))
    return panels


def _is_repeated(
    evaluation: Evaluation,
    totals: Totals,
    index: int,
    labels_hw: NDArray[np.int16],
    results: Sequence[Segmentation],
) -> bool:
    count = len(evaluation.coding.classes)
    for contender, result, sums in zip(evaluation.contenders, results, totals.models, strict=True):
        again = count_model(labels_hw, contender.class_map(result), None, count)
        if not np.array_equal(again.intersection_and_union, sums.by_picture[index]):
            return False
    return True


def _drawn(
    evaluation: Evaluation,
    chosen: Chosen,
    labels_hw: NDArray[np.int16],
    results: Sequence[Segmentation],
) -> tuple[tuple[str, Image], ...]:
    first = evaluation.contenders[0]
    image, palette = results[0].image_hwc, np.array(first.model.palette, np.uint8)
    maps = {
        position: evaluation.contenders[position].class_map(results[position])
        for position in chosen.positions
    }
    titled = [("picture", image), ("labels", overlay(image, labels_hw, palette))]
    for position, class_map in maps.items():
        title = evaluation.titles[position]
        titled.append((title, overlay(image, class_map.astype(np.int16), palette)))
    wrong = (maps[chosen.positions[-1]] != labels_hw) & (labels_hw >= 0)
    if len(maps) > 1:
        wrong = maps[0] != maps[chosen.positions[-1]]
    told = "where it is wrong" if len(maps) == 1 else "where the two differ"
    titled.append((told, marked(image, wrong)))
    return tuple((title, html_page.panel_sized(panel)) for title, panel in titled)


def overlay(image: Image, classes_hw: NDArray[np.int16], palette: NDArray[np.uint8]) -> Image:
    """Return a picture under the colours of its classes, dark where it has none."""
    colors = palette[np.maximum(classes_hw, 0)]
    colors[classes_hw < 0] = UNLABELLED
    return np.asarray(cv2.addWeighted(colors, OPACITY, image, 1 - OPACITY, 0), np.uint8)


def marked(image: Image, where: NDArray[np.bool_]) -> Image:
    """Return a picture in grey, with pixels marked in a colour that no street has."""
    gray = np.repeat(image.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    gray[where] = WRONG
    return gray
