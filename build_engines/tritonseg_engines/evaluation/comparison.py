"""Whether one model is better than another, or only looks so on these pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tritonseg_engines.evaluation.bootstrap import (
    FEW_PICTURES,
    Interval,
    interval_of,
    resampled_mean_iou,
)
from tritonseg_engines.evaluation.figures import Figures
from tritonseg_engines.evaluation.totals import Totals


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One model against the first.

    Attributes:
        position: Of the model among all.
        mean_iou: Its mean IoU less the first's, 0-1; None where one has none.
        interval: In which that lies with 95 %; None for fewer than two pictures.
        changed_pixels: Share of all pixels with another class than the first model's.
        sentence: What can be told from that.
    """

    position: int
    mean_iou: float | None
    interval: Interval | None
    changed_pixels: float
    sentence: str


def differences(
    totals: Totals, figures: Sequence[Figures], titles: Sequence[str]
) -> tuple[Difference, ...]:
    """Return how each other model differs from the first, by the same draws of pictures.

    Args:
        totals: Of a finished run.
        figures: Of every model.
        titles: Of every model, told apart.
    """
    return tuple(
        _difference(totals, figures, titles, position) for position in range(1, len(figures))
    )


def _difference(
    totals: Totals, figures: Sequence[Figures], titles: Sequence[str], position: int
) -> Difference:
    first, other = figures[0].mean_iou, figures[position].mean_iou
    change = None if first is None or other is None else other - first
    changed = int(totals.changed[:, position - 1].sum()) / int(totals.pixels.sum())
    draws = [resampled_mean_iou(totals.models[one].by_picture) for one in (0, position)]
    interval = None
    if draws[0] is not None and draws[1] is not None:
        interval = interval_of(draws[1] - draws[0])
    return Difference(
        position=position,
        mean_iou=change,
        interval=interval,
        changed_pixels=changed,
        sentence=_sentence(titles[0], titles[position], change, interval, changed, totals),
    )


def _sentence(
    first: str,
    other: str,
    change: float | None,
    interval: Interval | None,
    changed: float,
    totals: Totals,
) -> str:
    pictures = _counted(len(totals.pixels))
    if not changed:
        return f"{other} gives the masks of {first}, every pixel of {pictures}"
    share = f"{changed:.3%} of the pixels changed"
    if change is None or interval is None:
        return f"{other} against {first}: nothing can be told from {pictures}; {share}"
    bounds = (
        f"{100 * change:+.2f} points of mIoU, 95 % from {100 * interval.low:+.2f} to "
        f"{100 * interval.high:+.2f}"
    )
    few = ""
    if len(totals.pixels) < FEW_PICTURES:
        few = f"; from fewer than {FEW_PICTURES} pictures such bounds are too narrow"
    if min(change, interval.low) <= 0 <= max(change, interval.high):
        return (
            f"{other} against {first}: no difference can be told from {pictures}: {bounds}; "
            f"{share}{few}"
        )
    word = "better" if change > 0 else "worse"
    return f"{other} is {word} than {first} on {pictures}: {bounds}; {share}{few}"


def _counted(count: int) -> str:
    return f"{count} picture{'' if count == 1 else 's'}"


def losses(totals: Totals, position: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return by picture which share of its labelled pixels the first model has right and this not.

    Args:
        totals: Of a finished run.
        position: Of the model.

    Returns:
        (N,) float64, below 0 where the first model is worse.
    """
    labelled = np.maximum(totals.models[0].labelled_by_picture, 1)
    right = [totals.models[one].right_by_picture for one in (0, position)]
    lost: np.ndarray[tuple[int], np.dtype[np.float64]] = (right[0] - right[1]) / labelled
    return lost
