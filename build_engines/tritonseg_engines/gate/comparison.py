"""How the class maps of a built network differ from those of the reference, in figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.errors import CalibrationError, OnnxModelError
from tritonseg_engines.gate.label_check import LabelCheck
from tritonseg_engines.gate.metrics import ConfusionMatrix
from tritonseg_engines.progress import Counter
from tritonseg_engines.running.networks import Infer, Steps
from tritonseg_engines.running.pictures import Picture, Pictures


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassFigures:
    """One class in both networks.

    Attributes:
        name: Of the class.
        reference_pixels: Pixels that the reference gives to it.
        built_pixels: Pixels that the built network gives to it.
        agreement_iou: Intersection over union of the two, or None where neither has the class.
        reference_iou: Of the reference against the labels, or None without.
        built_iou: Of the built network against the labels, or None without.
    """

    name: str
    reference_pixels: int
    built_pixels: int
    agreement_iou: float | None
    reference_iou: float | None
    built_iou: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureFigures:
    """One picture: its name and the share of its pixels at which the two networks agree."""

    name: str
    equal_pixels: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The built network against the reference over a set of pictures.

    Attributes:
        origin: Which pictures.
        pictures: Figures of each.
        classes: Figures of each.
        equal_pixels: Share of all pixels with the same class, 0-1.
        agreement_miou: Mean over classes of the IoU between the two.
        reference_miou: Against the labels, or None without.
        built_miou: Against the labels, or None without.
    """

    origin: str
    pictures: tuple[PictureFigures, ...]
    classes: tuple[ClassFigures, ...]
    equal_pixels: float
    agreement_miou: float
    reference_miou: float | None
    built_miou: float | None

    @property
    def miou_drop_points(self) -> float | None:
        """What the built network loses against the labels, in points of 100; None without."""
        if self.reference_miou is None or self.built_miou is None:
            return None
        return 100 * (self.reference_miou - self.built_miou)

    @property
    def miou_loss_points(self) -> float:
        """The same where there are labels; else what the reference's own masks would lose."""
        drop = self.miou_drop_points
        return 100 * (1 - self.agreement_miou) if drop is None else drop


@dataclass(kw_only=True, slots=True)
class Reference:
    """Pictures with the class maps that the fp32 network gives them, computed once.

    Class maps of 1024x2048 are 2 MB a picture; scores are not kept.
    """

    pictures: Pictures
    steps: Steps
    class_maps: list[NDArray[np.uint8]] = field(repr=False)

    def spread(self, count: int) -> Reference:
        """Return the same for at most `count` of the pictures, evenly from first to last."""
        step = max(1, -(-len(self.pictures) // count))
        return Reference(
            pictures=self.pictures[::step],
            steps=self.steps,
            class_maps=self.class_maps[::step],
        )


def run_reference(
    infer: Infer,
    steps: Steps,
    pictures: Pictures,
    progress: Counter | None = None,
    *,
    label_check: LabelCheck | None = None,
) -> Reference:
    """Segment the pictures with the reference network.

    Args:
        infer: The network.
        steps: What the server does before and after it.
        pictures: What it is shown.
        progress: Told after every picture.
        label_check: Shown all labels, where pictures have some.

    Raises:
        CalibrationError: A picture has not the size that the network takes, or the labels are not
            those of the classes.
        OnnxModelError: A picture cannot be run, or a score is not a number.
    """
    class_maps = []
    for index, picture in enumerate(pictures):
        class_maps.append(_class_map(infer, steps, picture))
        if label_check is not None:
            label_check.add(picture, class_maps[-1])
        if progress is not None:
            progress(index + 1, len(pictures))
    if label_check is not None:
        label_check.finish()
    return Reference(pictures=pictures, steps=steps, class_maps=class_maps)


Observer = Callable[[Picture, NDArray[np.uint8], NDArray[np.uint8]], None]
"""Shown every picture with the reference's class map and the built network's."""


def compare(
    reference: Reference,
    infer: Infer,
    classes: Sequence[str],
    *,
    ignore_index: int | None = None,
    observe: Observer | None = None,
    progress: Counter | None = None,
) -> Comparison:
    """Segment the same pictures with a built network and compare.

    Args:
        reference: Of `run_reference`.
        infer: The built network.
        classes: Their names.
        ignore_index: Label that is left out.
        observe: Shown every picture as it is compared.
        progress: Told after every picture.

    Raises:
        CalibrationError: A label is neither a class nor ignored.
        OnnxModelError: A picture cannot be run, or a score is not a number.
    """
    counts = _Counts(len(classes), ignore_index)
    steps, figures = reference.steps, []
    for index, picture in enumerate(reference.pictures):
        expected = reference.class_maps[index]
        actual = _class_map(infer, steps, picture)
        counts.add(picture, expected, actual)
        equal = float((expected == actual).mean())
        figures.append(PictureFigures(name=picture.name, equal_pixels=equal))
        if observe is not None:
            observe(picture, expected, actual)
        if progress is not None:
            progress(index + 1, len(reference.pictures))
    return counts.comparison(reference.pictures, figures, classes)


def _class_map(infer: Infer, steps: Steps, picture: Picture) -> NDArray[np.uint8]:
    batch = steps.batch(picture)
    try:
        output = infer(batch)
    except OnnxModelError as error:
        height, width = picture.image_hwc.shape[:2]
        raise OnnxModelError(f"{picture.name} ({height}x{width} pixels): {error}") from error
    return steps.class_map(output, picture)


class _Counts:
    """Three confusion matrices: between the two networks, and of each against the labels."""

    def __init__(self, num_classes: int, ignore_index: int | None) -> None:
        self._between = ConfusionMatrix(num_classes)
        self._reference = ConfusionMatrix(num_classes, ignore_index=ignore_index)
        self._built = ConfusionMatrix(num_classes, ignore_index=ignore_index)

    def add(self, picture: Picture, expected: NDArray[np.uint8], actual: NDArray[np.uint8]) -> None:
        self._between.add(expected, actual)
        if picture.labels_hw is None:
            return
        try:
            self._reference.add(picture.labels_hw, expected)
            self._built.add(picture.labels_hw, actual)
        except ValueError as error:
            raise CalibrationError(f"labels of {picture.name}: {error}") from error

    def comparison(
        self, pictures: Pictures, figures: Sequence[PictureFigures], classes: Sequence[str]
    ) -> Comparison:
        labelled = pictures.labelled
        return Comparison(
            origin=pictures.origin,
            pictures=tuple(figures),
            classes=tuple(
                ClassFigures(
                    name=name,
                    reference_pixels=int(self._between.counts[index].sum()),
                    built_pixels=int(self._between.counts[:, index].sum()),
                    agreement_iou=_known(self._between.iou[index]),
                    reference_iou=_known(self._reference.iou[index]) if labelled else None,
                    built_iou=_known(self._built.iou[index]) if labelled else None,
                )
                for index, name in enumerate(classes)
            ),
            equal_pixels=self._between.pixel_accuracy,
            agreement_miou=self._between.mean_iou,
            reference_miou=self._reference.mean_iou if labelled else None,
            built_miou=self._built.mean_iou if labelled else None,
        )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
