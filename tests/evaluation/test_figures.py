"""Figures against scikit-learn, SciPy and loops, on pictures of noise and of shapes."""

from __future__ import annotations

import numpy as np
import pytest

import independent_figures
from independent_figures import Seen
from tritonseg_engines.evaluation.boundary import boundaries, boundary_width_px
from tritonseg_engines.evaluation.counts import ModelCounts, count_model, count_picture
from tritonseg_engines.evaluation.figures import Figures, figures_of
from tritonseg_engines.evaluation.totals import ModelTotals, Totals

IGNORED = 255


def seen(seed: int, class_count: int, *, blocks: int = 6) -> Seen:
    """Blocks of classes, half of them right, some not labelled, and the last class nowhere."""
    random = np.random.default_rng(seed)
    height, width = (int(side) for side in random.integers(60, 140, 2))
    cell = max(height, width) // blocks + 1
    labels = random.integers(0, class_count - 1, (blocks, blocks))
    other = random.integers(0, class_count - 1, labels.shape)
    class_map = np.where(random.random(labels.shape) < 0.5, labels, other)
    labels[random.random(labels.shape) < 0.15] = IGNORED
    grown = [np.kron(a, np.ones((cell, cell), int))[:height, :width] for a in (labels, class_map)]
    speckled = np.where(random.random(grown[1].shape) < 0.02, 0, grown[1])
    confidence = random.integers(0, 256, speckled.shape, np.uint8)
    return Seen(labels=grown[0], class_map=speckled.astype(np.uint8), confidence=confidence)


def counted(pictures: list[Seen], class_count: int) -> ModelTotals:
    totals = ModelTotals(class_count, len(pictures))
    for index, one in enumerate(pictures):
        totals.add(index, counts_of(one, class_count))
    return totals


def counts_of(one: Seen, class_count: int) -> ModelCounts:
    labels = np.where(one.labels == IGNORED, -1, one.labels).astype(np.int16)
    return count_model(labels, one.class_map, one.confidence, class_count)


@pytest.fixture(params=[3, 19, 256], ids="{} classes".format)
def class_count(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def pictures(class_count: int) -> list[Seen]:
    return [seen(seed, class_count) for seed in range(4)]


def test_equal_to_scikit_learn(pictures: list[Seen], class_count: int) -> None:
    figures = figures_of(counted(pictures, class_count))
    expected = independent_figures.figures(pictures, class_count, IGNORED)
    for name in (
        "mean_iou", "pixel_accuracy", "mean_class_accuracy", "frequency_weighted_iou",
        "mean_boundary_iou",
    ):  # fmt: skip
        assert getattr(figures, name) == pytest.approx(expected[name], abs=1e-12), name
    by_class = expected["iou"]
    assert isinstance(by_class, dict)
    for index, iou in enumerate(figures.iou):
        assert iou == pytest.approx(by_class.get(index), abs=1e-12)
    assert figures.iou[-1] is None
    assert list(figures.boundary_iou) == pytest.approx(expected["boundary_iou"], abs=1e-12)
    assert counted(pictures, class_count).confusion.tolist() == expected["confusion"]


def test_calibration_error_by_the_paper(pictures: list[Seen], class_count: int) -> None:
    figures = figures_of(counted(pictures, class_count))
    expected = independent_figures.calibration_error(pictures, IGNORED)
    assert figures.calibration_error == pytest.approx(expected, abs=1e-12)


def test_calibration_error_of_levels_at_the_edges() -> None:
    level = np.arange(256, dtype=np.uint8)[None]
    one = Seen(labels=np.zeros((1, 256), int), class_map=level % 2, confidence=level)
    expected = independent_figures.calibration_error([one], IGNORED)
    assert figures_of(counted([one], 2)).calibration_error == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 200), (40, 40), (97, 131)])
def test_boundaries_are_the_erosion_of_each_mask(size_hw: tuple[int, int]) -> None:
    random = np.random.default_rng(size_hw[1])
    coarse = random.integers(-1, 3, (size_hw[0] // 12 + 1, size_hw[1] // 12 + 1))
    classes = np.kron(coarse, np.ones((12, 12), int))[: size_hw[0], : size_hw[1]]
    width_px = boundary_width_px(*size_hw)
    found = boundaries(classes.astype(np.int16), width_px)
    expected = np.zeros(size_hw, bool)
    for index in range(3):
        expected |= independent_figures.contour(classes == index, classes < 0, width_px)
    np.testing.assert_array_equal(found, expected)


def test_what_is_not_labelled_draws_no_boundary() -> None:
    labels = np.zeros((100, 100), np.int16)
    labels[40:60, 40:60] = -1
    inner = boundaries(labels, 3)[3:-3, 3:-3]
    assert not inner.any()
    labels[40:60, 40:60] = 1
    assert boundaries(labels, 3)[3:-3, 3:-3].any()


def test_nothing_to_divide_by_is_none() -> None:
    figures = figures_of(
        counted([Seen(labels=np.full((9, 9), IGNORED), class_map=np.zeros((9, 9), np.uint8))], 2)
    )
    assert figures == Figures(
        mean_iou=None,
        mean_iou_interval=None,
        pixel_accuracy=None,
        mean_class_accuracy=None,
        frequency_weighted_iou=None,
        mean_boundary_iou=None,
        calibration_error=None,
        iou=(None, None),
        boundary_iou=(None, None),
        class_accuracy=(None, None),
        label_share=(None, None),
        predicted_share=(None, None),
    )


def test_by_picture_right_and_labelled(pictures: list[Seen], class_count: int) -> None:
    totals = counted(pictures, class_count)
    kept = [one.labels != IGNORED for one in pictures]
    right = [(one.labels == one.class_map)[k].sum() for one, k in zip(pictures, kept, strict=True)]
    assert totals.right_by_picture.tolist() == right
    assert totals.labelled_by_picture.tolist() == [k.sum() for k in kept]


def test_counts_survive_json(pictures: list[Seen], class_count: int) -> None:
    before = counts_of(pictures[0], class_count)
    after = ModelCounts.from_json(before.to_json(), class_count)
    np.testing.assert_array_equal(after.confusion, before.confusion)
    np.testing.assert_array_equal(after.boundary, before.boundary)
    np.testing.assert_array_equal(after.calibration, before.calibration)


def test_changed_pixels_count_ignored_ones_too() -> None:
    labels = np.array([[0, -1], [1, 1]], np.int16)
    one, other = np.array([[0, 0], [1, 1]], np.uint8), np.array([[0, 1], [1, 0]], np.uint8)
    totals = Totals(2, 1, 2)
    totals.add(count_picture(0, labels, [(one, None), (other, None)], 2))
    assert totals.changed.tolist() == [[2]]
    assert totals.pixels.tolist() == [4]
    assert totals.sizes == {(2, 2)}
