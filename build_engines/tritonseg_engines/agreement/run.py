"""Pictures through two models, counted as they come back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tritonseg import (
    DeadlineExceededError,
    InferenceFailedError,
    InvalidImageError,
    RequestRejectedError,
    SegmentationError,
    load_image,
)
from tritonseg_engines.evaluation.contender import Contender, told_apart
from tritonseg_engines.evaluation.dataset import one_line
from tritonseg_engines.in_order import in_order
from tritonseg_engines.progress import Progress, unheard

OF_THE_PICTURE: Final = (DeadlineExceededError, InferenceFailedError, RequestRejectedError)
"""What a model says of one picture, and may not say of the next."""

ClassCounts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What is compared on what.

    Attributes:
        first: The model that serves.
        other: The one that is to serve in its place.
        pictures: Files, in their order.
        max_in_flight: How many pictures are worked on at once.
    """

    first: Contender
    other: Contender
    pictures: Sequence[Path] = field(repr=False)
    max_in_flight: int = 8

    @property
    def contenders(self) -> tuple[Contender, Contender]:
        """Both models."""
        return self.first, self.other

    @property
    def titles(self) -> tuple[str, str]:
        """What to call each model."""
        first, other = told_apart(self.contenders)
        return first, other

    def shown(self, index: int) -> str:
        """Return a picture's path as text that can be written anywhere."""
        return one_line(str(self.pictures[index]))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PictureAgreement:
    """What both models made of one picture.

    Attributes:
        index: Of the picture.
        pairs: (C, C) int64, pixels by the first model's class (row) and the other's (column), in
            the first model's order; None where a model gave no mask.
        failures: By model what it said in place of a mask; None where it gave one.
        unreadable: Why the picture was sent to neither; None where it was.
    """

    index: int
    pairs: ClassCounts | None = None
    failures: tuple[str | None, str | None] = (None, None)
    unreadable: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Agreement:
    """What a comparison came to.

    Attributes:
        pairs: (C, C) int64, the sum over all pictures that both models answered.
        pixels: (N,) int64 of each picture; 0 where it has no mask of both.
        changed: (N,) int64, of those the ones of another class.
        failures: By picture what the models said in place of a mask, where one failed.
        unreadable: By picture why it was sent to neither.
        elapsed_s: Seconds that all took.
    """

    pairs: ClassCounts
    pixels: NDArray[np.int64]
    changed: NDArray[np.int64]
    failures: dict[int, tuple[str | None, str | None]]
    unreadable: dict[int, str]
    elapsed_s: float

    @property
    def equal_share(self) -> float | None:
        """Share of all pixels that have the same class; None where there are none."""
        pixels = int(self.pairs.sum())
        return int(np.trace(self.pairs)) / pixels if pixels else None

    @property
    def compared(self) -> NDArray[np.int64]:
        """Indices of the pictures that both models answered."""
        return np.flatnonzero(self.pixels)

    def worst(self, count: int) -> list[int]:
        """Return so many pictures whose masks differ most by their share of pixels, worst first."""
        share = self.changed / np.maximum(self.pixels, 1)
        order = np.argsort(-share, kind="stable")
        return [int(index) for index in order[:count] if self.changed[index]]


def compare(comparison: Comparison, progress: Progress = unheard) -> Agreement:
    """Send every picture to both models, and count by class where they agree.

    Args:
        comparison: What is compared.
        progress: Told after every picture.

    Raises:
        EvaluationError: A model was replaced meanwhile.
        SegmentationError: A server cannot be reached, or is to blame otherwise.
    """
    classes, count = len(comparison.first.model.classes), len(comparison.pictures)
    pairs = np.zeros((classes, classes), np.int64)
    pixels, changed = np.zeros(count, np.int64), np.zeros(count, np.int64)
    failures, unreadable = {}, {}
    begun_s = time.monotonic()

    def work(index: int) -> PictureAgreement:
        return _of_picture(comparison, index)

    progress("comparing", 0, count)
    for one in in_order(range(count), work, comparison.max_in_flight):
        if one.pairs is not None:
            pairs += one.pairs
            pixels[one.index] = one.pairs.sum()
            changed[one.index] = pixels[one.index] - np.trace(one.pairs)
        elif one.unreadable is not None:
            unreadable[one.index] = one.unreadable
        else:
            failures[one.index] = one.failures
        progress("comparing", one.index + 1, count)
    return Agreement(
        pairs=pairs,
        pixels=pixels,
        changed=changed,
        failures=failures,
        unreadable=unreadable,
        elapsed_s=time.monotonic() - begun_s,
    )


def class_maps(comparison: Comparison, index: int) -> tuple[Any, NDArray[np.uint8], Any]:
    """Return a picture, (H, W, 3) uint8, and both (H, W) uint8 maps in the first model's classes.

    Raises:
        SegmentationError: It cannot be read, or a model gives no mask.
    """
    image_hwc = load_image(comparison.pictures[index])
    first, other = (one.class_map(one.segment(image_hwc)) for one in comparison.contenders)
    return image_hwc, first, other


def _of_picture(comparison: Comparison, index: int) -> PictureAgreement:
    path = comparison.pictures[index]
    try:
        sent = path if comparison.first.asked.transport == "encoded" else load_image(path)
        first, other = (_answer(contender, sent, path) for contender in comparison.contenders)
    except InvalidImageError as error:
        return PictureAgreement(index=index, unreadable=str(error))
    if isinstance(first, str) or isinstance(other, str):
        said = [one if isinstance(one, str) else None for one in (first, other)]
        return PictureAgreement(index=index, failures=(said[0], said[1]))
    classes = len(comparison.first.model.classes)
    flat = first.astype(np.int64).ravel() * classes + other.ravel()
    counts = np.bincount(flat, minlength=classes * classes).reshape(classes, classes)
    return PictureAgreement(index=index, pairs=counts.astype(np.int64))


def _answer(
    contender: Contender, sent: Path | NDArray[np.uint8], path: Path
) -> NDArray[np.uint8] | str:
    """Return a model's (H, W) uint8 mask in the first model's classes, or what it says instead."""
    try:
        return contender.class_map(contender.segment(sent))
    except OF_THE_PICTURE as error:
        return str(error)
    except InvalidImageError:
        raise
    except SegmentationError as error:
        if isinstance(error.args[0], str) and str(path) not in error.args[0]:
            error.args = (f"{path}: {error.args[0]}", *error.args[1:])
        raise
