"""Pictures of the proof: what the export is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.build.export_mask import Mask
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.running.networks import class_map_of
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.upsampling import Upsampling, flaw

NAN_LOST = (
    "the export's scores are not all finite, and the network gives classes all the same: a runtime "
    "loses NaN in Relu, Clip, Max and MaxPool; add an epsilon to what is divided by, or keep "
    "logarithms and roots from what is not positive"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One picture that the export is asked about.

    Attributes:
        name: With its size.
        geometry: Where it lies in the network's input; it has the content's size.
        batch_nchw: `(1, 3, h, w)` float32, as the normalize step gives it.
        extreme: Whether it is one of which an export need not make any classes.
        flat: Whether it is of one colour and large, and of interest only where it makes none.
    """

    name: str
    geometry: Geometry
    batch_nchw: NDArray[np.float32] = field(repr=False)
    extreme: bool = False
    flat: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One picture that the export has answered.

    Attributes:
        question: The picture.
        output: The export's own.
        mask: What that means for the picture; None where it means no classes, because a score is
            not finite.
    """

    question: Question
    output: NDArray[Any] = field(repr=False)
    mask: Mask | None = field(repr=False)

    def classes(self) -> frozenset[int]:
        """Return the classes that the picture shows."""
        return frozenset() if self.mask is None else self.mask.classes()

    def share_equal(self, output: NDArray[Any], upsampling: Upsampling, class_count: int) -> float:
        """Return the share of the stable pixels that the argmax step gives the same class.

        Where neither export nor network gives classes, that is 1.

        Args:
            output: Of the network that will be served, for this picture.
            upsampling: What the argmax step does with it.
            class_count: Of the model.

        Raises:
            OnnxModelError: One of the two gives classes, and the other none.
        """
        found = flaw(output, upsampling, class_count)
        if (self.mask is None) != (found is not None):
            raise OnnxModelError(f"{self.question.name}: {found or NAN_LOST}")
        if self.mask is None:
            return 1.0
        return self.mask.share_equal(class_map_of(output, self.question.geometry, upsampling))


def pair_of(samples: Sequence[Sample]) -> tuple[Sample, Sample]:
    """Return two pictures of one size and of other values: an extreme, and behind it a usual one.

    The extreme has larger and smaller values than the other (`proof_pictures.HEADROOM`), and
    another mean and spread. So what a network takes of the whole batch is not the usual one's own.
    """
    extreme = next(sample for sample in samples if sample.question.extreme)
    shape = extreme.question.batch_nchw.shape
    usual = next(
        sample
        for sample in reversed(samples)
        if not sample.question.extreme and sample.question.batch_nchw.shape == shape
    )
    return extreme, usual
