"""Figures of one model, made of its sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.evaluation.bootstrap import Interval, interval_of, resampled_mean_iou
from tritonseg_engines.evaluation.totals import ModelTotals

Shares = tuple["float | None", ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """How good one model is; shares of 0-1, None where there is nothing to divide by.

    Attributes:
        mean_iou: Mean of `iou` over the classes that have one.
        mean_iou_interval: In which it lies with 95 %; None for fewer than two pictures.
        pixel_accuracy: Share of the labelled pixels whose class is right.
        mean_class_accuracy: Mean of `class_accuracy` over the classes that are labelled.
        frequency_weighted_iou: Mean of `iou`, by the classes' shares of the labelled pixels.
        mean_boundary_iou: Mean of `boundary_iou` over the classes that have one.
        calibration_error: Mean distance between confidence and share of right pixels.
        iou: By class; None where a class is neither labelled nor predicted.
        boundary_iou: By class.
        class_accuracy: By class: share of its labelled pixels that are right.
        label_share: By class: share of the labelled pixels.
        predicted_share: By class: share of the labelled pixels that the model gives it.
    """

    mean_iou: float | None
    mean_iou_interval: Interval | None
    pixel_accuracy: float | None
    mean_class_accuracy: float | None
    frequency_weighted_iou: float | None
    mean_boundary_iou: float | None
    calibration_error: float | None
    iou: Shares
    boundary_iou: Shares
    class_accuracy: Shares
    label_share: Shares
    predicted_share: Shares


def figures_of(totals: ModelTotals) -> Figures:
    """Return the figures of a model that has seen all pictures.

    Sources: PASCAL VOC for the IoU, TP / (TP + FP + FN) over all pictures together; Long et al.,
    "Fully Convolutional Networks", CVPR 2015, for the accuracies and the weighted IoU; Cheng et
    al. 2021 for the boundary IoU, summed over pictures likewise; Guo et al., ICML 2017, for the
    calibration error.
    """
    confusion = totals.confusion
    hits, labelled, predicted = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    total = int(confusion.sum())
    iou = _ratio(hits, labelled + predicted - hits)
    accuracy = _ratio(hits, labelled)
    boundary_iou = _ratio(*totals.boundary)
    weighted = float(np.nansum(labelled * iou) / total) if total else None
    resampled = resampled_mean_iou(totals.by_picture)
    return Figures(
        mean_iou=_mean(iou),
        mean_iou_interval=None if resampled is None else interval_of(resampled),
        pixel_accuracy=int(hits.sum()) / total if total else None,
        mean_class_accuracy=_mean(accuracy),
        frequency_weighted_iou=weighted,
        mean_boundary_iou=_mean(boundary_iou),
        calibration_error=_calibration_error(totals.calibration),
        iou=_shares(iou),
        boundary_iou=_shares(boundary_iou),
        class_accuracy=_shares(accuracy),
        label_share=_shares(_ratio(labelled, np.full(len(hits), total))),
        predicted_share=_shares(_ratio(predicted, np.full(len(hits), total))),
    )


def _calibration_error(bins: NDArray[np.int64] | None) -> float | None:
    if bins is None or not bins[0].sum():
        return None
    pixels, right, confidence_levels = bins
    distance = np.abs(right - confidence_levels / 255)
    return float(distance.sum() / pixels.sum())


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return part / whole, and NaN where there is no whole."""
    ratio: NDArray[np.float64] = np.divide(
        part, whole, out=np.full(len(part), np.nan), where=whole > 0
    )
    return ratio


def _mean(values: NDArray[np.float64]) -> float | None:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else None


def _shares(values: NDArray[np.float64]) -> Shares:
    return tuple(None if np.isnan(value) else float(value) for value in values)
