"""What a built network must keep of the reference, and the refusal when it does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tritonseg_engines.errors import EngineBuildError
from tritonseg_engines.gate.comparison import ClassFigures, Comparison

WORST_CLASSES_NAMED = 3


class GateError(EngineBuildError):
    """A built network's class maps are too far from the reference's; no engine was written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """Bounds of one precision.

    Attributes:
        equal_pixels: Least share of pixels with the reference's class, 0-1.
        miou_drop_points: Largest loss of mIoU against labels, in points of 100.
    """

    equal_pixels: float
    miou_drop_points: float


THRESHOLDS = {
    "fp32": Thresholds(equal_pixels=0.9999, miou_drop_points=0.05),
    "fp16": Thresholds(equal_pixels=0.999, miou_drop_points=0.2),
    "int8": Thresholds(equal_pixels=0.985, miou_drop_points=1.0),
}


def failures(comparison: Comparison, thresholds: Thresholds) -> tuple[str, ...]:
    """Return what the comparison fails, as sentences with both sides; empty if it passes."""
    return tuple(_failures(comparison, thresholds))


def worst_classes(comparison: Comparison) -> list[ClassFigures]:
    """Return the classes that lost most: against the labels, or else against the reference."""

    def loss(figures: ClassFigures) -> float:
        if figures.reference_iou is not None and figures.built_iou is not None:
            return figures.reference_iou - figures.built_iou
        return 1 - figures.agreement_iou if figures.agreement_iou is not None else 0.0

    ranked = sorted(comparison.classes, key=loss, reverse=True)
    return [figures for figures in ranked if loss(figures) > 0]


def _failures(comparison: Comparison, thresholds: Thresholds) -> Iterator[str]:
    if not comparison.equal_pixels >= thresholds.equal_pixels:
        yield (
            f"expected the reference's class at {thresholds.equal_pixels:.2%} of the pixels or "
            f"more, got {comparison.equal_pixels:.3%}"
        )
    drop = comparison.miou_drop_points
    if drop is not None and not drop <= thresholds.miou_drop_points:
        yield (
            f"expected a loss of {thresholds.miou_drop_points:g} points of labelled mIoU or less, "
            f"got {drop:.2f}"
        )


def describe_worst(comparison: Comparison) -> str:
    """Return the classes that lost most, in a few words."""
    worst = worst_classes(comparison)[:WORST_CLASSES_NAMED]
    return ", ".join(
        f"{figures.name} (IoU with the reference "
        f"{'-' if figures.agreement_iou is None else format(figures.agreement_iou, '.3f')})"
        for figures in worst
    )
