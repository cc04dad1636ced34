"""Intervals against a plain loop, and against what they promise."""

from __future__ import annotations

import numpy as np
import pytest

import independent_figures
from independent_figures import Seen
from tritonseg_engines.evaluation import bootstrap
from tritonseg_engines.evaluation.bootstrap import interval_of, resampled_mean_iou
from tritonseg_engines.evaluation.comparison import differences, losses
from tritonseg_engines.evaluation.counts import count_picture
from tritonseg_engines.evaluation.figures import figures_of
from tritonseg_engines.evaluation.totals import Totals

CLASSES = 4
IGNORED = 255


def pictures(count: int, right: float, seed: int = 0) -> list[Seen]:
    """Pictures of which a share of pixels is right, more of some than of others."""
    labels = np.random.default_rng(1)
    random, found = np.random.default_rng(seed), []
    for _ in range(count):
        truth = labels.integers(0, CLASSES, (12, 14))
        share = right + 0.2 * (labels.random() - 0.5)
        wrong = random.integers(0, CLASSES, truth.shape)
        class_map = np.where(random.random(truth.shape) < share, truth, wrong).astype(np.uint8)
        truth[labels.random(truth.shape) < 0.1] = IGNORED
        found.append(Seen(labels=truth, class_map=class_map))
    return found


def totals_of(*models: list[Seen]) -> Totals:
    totals = Totals(CLASSES, len(models[0]), len(models))
    for index, of_models in enumerate(zip(*models, strict=True)):
        labels = of_models[0].labels
        coded = np.where(labels == IGNORED, -1, labels).astype(np.int16)
        maps = [(one.class_map, None) for one in of_models]
        totals.add(count_picture(index, coded, maps, CLASSES))
    return totals


def drawn(count: int, resamples: int, at_once: int) -> np.ndarray:
    """The draws once more, in the same parts."""
    random = np.random.default_rng(bootstrap.SEED)
    parts = [
        random.integers(0, count, (min(at_once, resamples - begin), count))
        for begin in range(0, resamples, at_once)
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("is_rare", [False, True])
@pytest.mark.parametrize("at_once", [7, 1000])
def test_equal_to_a_plain_loop(
    at_once: int, is_rare: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", at_once * 6)
    seen = pictures(6, 0.6)
    if is_rare:  # the last class, which one picture has
        for one in seen[1:]:
            one.labels[one.labels == CLASSES - 1] = 0
            one.class_map[one.class_map == CLASSES - 1] = 0
    found = resampled_mean_iou(totals_of(seen).models[0].by_picture, resamples=20)
    expected = independent_figures.resampled(seen, CLASSES, IGNORED, drawn(6, 20, at_once))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert found is not None
    assert len(set(found)) > 10


def test_a_class_in_few_pictures_is_in_the_mean_where_it_was_not_drawn() -> None:
    by_picture = np.zeros((4, 2, 2), np.int64)
    by_picture[:, :, 0] = 10
    by_picture[0, 1, 1] = 5  # a class that one picture has, all wrong
    found = resampled_mean_iou(by_picture, resamples=200)
    assert found is not None
    assert set(found) == {0.5}


def test_the_figure_lies_in_its_interval_where_many_classes_are_rare() -> None:
    """As of 150 classes: each picture has a few that no other has, all wrong."""
    random = np.random.default_rng(0)
    by_picture = np.zeros((24, 2, 150), np.int64)
    for sums in by_picture:
        sums[1, :8] = random.integers(500, 1000, 8)
        sums[0, :8] = sums[1, :8] * random.uniform(0.5, 0.9, 8)
        sums[1, random.choice(np.arange(8, 150), 3, replace=False)] = 20
    hits, union = by_picture.sum(axis=0)
    figure = (hits[union > 0] / union[union > 0]).mean()
    found = resampled_mean_iou(by_picture)
    assert found is not None
    interval = interval_of(found)
    assert interval.low < figure < interval.high


def test_no_interval_of_one_picture() -> None:
    assert resampled_mean_iou(np.ones((1, 2, 3), np.int64)) is None
    assert figures_of(totals_of(pictures(1, 0.9)).models[0]).mean_iou_interval is None


def test_intervals_hold_as_often_as_they_say() -> None:
    """The figure of 4000 pictures lies in about 95 % of the intervals of 40 of them."""
    sums = totals_of(pictures(4000, 0.7)).models[0].by_picture
    all_of_them = sums.sum(axis=0)
    truth = (all_of_them[0] / all_of_them[1]).mean()
    inside = 0
    for begin in range(0, 4000, 40):
        resampled = resampled_mean_iou(sums[begin : begin + 40], resamples=500)
        assert resampled is not None
        interval = interval_of(resampled)
        inside += interval.low <= truth <= interval.high
    assert 86 <= inside <= 100


@pytest.mark.parametrize(
    ("right", "word"),
    [(0.9, "is better than"), (0.5, "is worse than"), (0.7, "no difference can be told")],
)
def test_says_what_can_be_told(right: float, word: str) -> None:
    totals = totals_of(pictures(60, 0.7), pictures(60, right, seed=2))
    figures = [figures_of(one) for one in totals.models]
    (difference,) = differences(totals, figures, ["one", "other"])
    assert word in difference.sentence
    assert difference.mean_iou == figures[1].mean_iou - figures[0].mean_iou
    assert difference.interval is not None
    assert difference.interval.low <= difference.mean_iou <= difference.interval.high
    assert "too narrow" not in difference.sentence


def test_the_difference_of_a_model_from_itself_is_none() -> None:
    same = pictures(30, 0.7)
    totals = totals_of(same, same)
    (difference,) = differences(totals, [figures_of(one) for one in totals.models], ["a", "b"])
    assert difference.sentence == "b gives the masks of a, every pixel of 30 pictures"
    assert difference.interval is not None
    assert (difference.interval.low, difference.interval.high) == (0, 0)
    assert not losses(totals, 1).any()


def test_few_pictures_are_called_few() -> None:
    totals = totals_of(pictures(5, 0.7), pictures(5, 0.9, seed=2))
    (difference,) = differences(totals, [figures_of(one) for one in totals.models], ["a", "b"])
    assert "from fewer than 20 pictures such bounds are too narrow" in difference.sentence


def test_losses_are_shares_of_labelled_pixels() -> None:
    good, bad = pictures(3, 0.9), pictures(3, 0.3, seed=2)
    lost = losses(totals_of(good, bad), 1)
    for index in range(3):
        kept = good[index].labels != IGNORED
        right = [(one[index].labels == one[index].class_map)[kept].mean() for one in (good, bad)]
        assert lost[index] == pytest.approx(right[0] - right[1], abs=1e-12)
