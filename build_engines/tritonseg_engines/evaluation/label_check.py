"""Labels that are other classes than they seem, found by what the model makes of the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.errors import EvaluationError

SHIFTED_SHARE: Final = 0.5
"""Of the labelled pixels, at which the model must be one class beside the label to speak of it."""
MASK_CLASSES: Final = 2


def check_labels(
    confusion: NDArray[np.int64], classes: Sequence[str], *, so_far: bool = False
) -> None:
    """Refuse labels of which a figure would say something else than it seems to.

    Args:
        confusion: (C, C) int64 pixels, by label and prediction.
        classes: Names of the C classes.
        so_far: Whether pictures are still to come, which may have what is missing.

    Raises:
        EvaluationError: Nothing or one class alone is labelled, or the labels are counted from
            another number than the classes.
    """
    total, hits = int(confusion.sum()), int(np.trace(confusion))
    if not so_far:
        _check_labelled(confusion, classes, total)
    for above in (1, -1):
        shifted = int(np.trace(confusion, offset=above))
        if shifted > SHIFTED_SHARE * total and shifted > 2 * hits:
            raise EvaluationError(
                f"expected labels that are the model's classes, got labels beside them: the class "
                f"is the label {above:+d} in {shifted / total:.1%} of the pixels, and the label "
                f"itself in {hits / total:.1%}; they are counted from another number"
            )


def _check_labelled(confusion: NDArray[np.int64], classes: Sequence[str], total: int) -> None:
    if not total:
        raise EvaluationError(
            "expected labels that are classes, got only values to be ignored: there is nothing to "
            "measure by"
        )
    labelled = np.flatnonzero(confusion.sum(axis=1))
    if len(classes) == MASK_CLASSES and len(labelled) == 1:
        raise EvaluationError(
            f"expected labels of both classes, got '{classes[int(labelled[0])]}' alone; masks of 0 "
            "and 255 must be written as 0 and 1, or --label-map says what each value is"
        )
