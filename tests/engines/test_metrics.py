"""Metrics against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tritonseg_engines.gate.metrics import ConfusionMatrix

LABELS = np.array([[0, 0, 1], [1, 2, 255]], np.uint8)
PREDICTED = np.array([[0, 1, 1], [1, 0, 3]], np.uint8)


def test_by_hand() -> None:
    matrix = ConfusionMatrix(4, ignore_index=255)
    matrix.add(LABELS, PREDICTED)
    # class 0: 1 hit, 1 missed, 1 false; class 1: 2 hits, 1 false; class 2: missed; class 3: absent
    np.testing.assert_allclose(matrix.iou, [1 / 3, 2 / 3, 0, math.nan])
    assert matrix.mean_iou == pytest.approx(1 / 3)
    assert matrix.pixel_accuracy == pytest.approx(3 / 5)


def test_pictures_add_up_to_one_matrix() -> None:
    matrix = ConfusionMatrix(4, ignore_index=255)
    matrix.add(LABELS[:1], PREDICTED[:1])
    matrix.add(LABELS[1:], PREDICTED[1:])
    assert matrix.counts.sum() == 5
    assert matrix.pixel_accuracy == pytest.approx(3 / 5)


def test_nothing_counted_is_not_a_number() -> None:
    matrix = ConfusionMatrix(2)
    assert math.isnan(matrix.mean_iou)
    assert math.isnan(matrix.pixel_accuracy)


@pytest.mark.parametrize(
    ("labels", "predicted", "message"),
    [
        (LABELS, PREDICTED[:1], "of one size"),
        (LABELS, PREDICTED, "label 255"),
        (PREDICTED * 0, PREDICTED + 4, "prediction 7"),
    ],
)
def test_what_cannot_be_counted_is_refused(
    labels: np.ndarray, predicted: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ConfusionMatrix(4).add(labels, predicted)
