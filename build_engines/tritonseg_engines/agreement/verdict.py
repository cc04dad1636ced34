"""Whether one model may take the place of another, by how far their masks agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tritonseg_engines.agreement.run import Agreement, Comparison

DEFAULT_LEAST_EQUAL: Final = 0.999
"""A build's gate asks as much of fp16's masks (`gate/thresholds.py`). A network that was trained
anew needs a bound of its own."""
NAMED: Final = 3
"""Pictures in a sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """How far the masks have to agree, as shares from 0 to 1.

    Attributes:
        least_equal: Of all pixels.
        least_class: Of every class: pixels of it in both masks by those in either.
        least_picture: Of every single picture's pixels.
    """

    least_equal: float = DEFAULT_LEAST_EQUAL
    least_class: float | None = None
    least_picture: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What follows from a comparison.

    Attributes:
        is_kept: Whether the bound is.
        sentences: What was found, the reason for a refusal first.
    """

    is_kept: bool
    sentences: tuple[str, ...]


def class_agreement(agreement: Agreement) -> list[float | None]:
    """Return for each class its pixels in both masks by those in either; None where it is in none.

    Of the two masks it is the intersection over union, which does not prefer one of them.
    """
    both = np.diag(agreement.pairs)
    either = agreement.pairs.sum(axis=0) + agreement.pairs.sum(axis=1) - both
    return [int(one) / int(all_) if all_ else None for one, all_ in zip(both, either, strict=True)]


def verdict_of(comparison: Comparison, agreement: Agreement, bound: Bound) -> Verdict:
    """Hold a comparison against a bound.

    A picture to which a model gives no mask keeps no bound, nor does a comparison of no picture.
    """
    first, other = comparison.titles
    reasons = [
        *_failed(comparison, agreement),
        *_below(comparison, agreement, bound),
    ]
    share, count = agreement.equal_share, len(agreement.compared)
    if share is None:
        return Verdict(is_kept=False, sentences=(*reasons, "no picture has masks of both models"))
    pictures = f"{count} picture{'' if count == 1 else 's'}"
    if not agreement.changed.any():
        found = f"{other} gives the masks of {first}, every pixel of {pictures}"
    else:
        differing = int(np.count_nonzero(agreement.changed))
        found = (
            f"{other} against {first}: {_percent(share)} of the pixels are equal; "
            f"{differing} of {pictures} differ"
        )
    return Verdict(is_kept=not reasons, sentences=(*reasons, found))


def _failed(comparison: Comparison, agreement: Agreement) -> list[str]:
    reasons = []
    for position, title in enumerate(comparison.titles):
        failed = [index for index, said in agreement.failures.items() if said[position]]
        if failed:
            said = agreement.failures[failed[0]][position]
            reasons.append(
                f"{title} gave no mask to {len(failed)} of {len(comparison.pictures)} pictures, "
                f"first to {comparison.shown(failed[0])}: {said}"
            )
    if agreement.unreadable:
        index, why = next(iter(agreement.unreadable.items()))
        reasons.append(
            f"{len(agreement.unreadable)} of {len(comparison.pictures)} pictures cannot be read, "
            f"first {comparison.shown(index)}: {why}"
        )
    return reasons


def _below(comparison: Comparison, agreement: Agreement, bound: Bound) -> list[str]:
    reasons = []
    share = agreement.equal_share
    if share is not None and share < bound.least_equal:
        reasons.append(
            f"expected {_percent(bound.least_equal)} of the pixels equal at least, "
            f"got {_percent(share)}"
        )
    if bound.least_class is not None:
        names = comparison.first.model.classes
        low = [
            f"{name} {_percent(one)}"
            for name, one in zip(names, class_agreement(agreement), strict=True)
            if one is not None and one < bound.least_class
        ]
        if low:
            reasons.append(
                f"expected each class to agree by {_percent(bound.least_class)} at least, "
                f"got {', '.join(low)}"
            )
    if bound.least_picture is not None:
        equal = 1 - agreement.changed / np.maximum(agreement.pixels, 1)
        low_pictures = [i for i in agreement.worst(len(equal)) if equal[i] < bound.least_picture]
        if low_pictures:
            named = ", ".join(
                f"{comparison.shown(i)} {_percent(float(equal[i]))}" for i in low_pictures[:NAMED]
            )
            reasons.append(
                f"expected {_percent(bound.least_picture)} of each picture's pixels equal at "
                f"least, got less on {len(low_pictures)}: {named}"
            )
    return reasons


def _percent(share: float) -> str:
    """Return a share so that what is not all never reads as all."""
    text = f"{share:.3%}"
    return "99.999...%" if text == "100.000%" and share < 1 else text
