"""What a published model's card promises, where that is of the same task, and else why not."""

from __future__ import annotations

from typing import Final

from tritonseg import ModelInfo
from tritonseg_engines.evaluation.contender import Asked
from tritonseg_engines.evaluation.dataset import Dataset
from tritonseg_engines.evaluation.totals import Totals
from tritonseg_engines.zoo import ZOO_SPECS

CITYSCAPES_TASK: Final = "on Cityscapes val at 1024x2048"
CITYSCAPES_PICTURES: Final = 500
CITYSCAPES_SIZE_HW: Final = (1024, 2048)


def card_remark(model: ModelInfo, dataset: Dataset, totals: Totals, asked: Asked) -> str | None:
    """Return the published figure in words, or why it cannot be held against this one.

    Args:
        model: The first model.
        dataset: What it was measured on.
        totals: Of the finished run.
        asked: What was asked of it.

    Returns:
        None where nobody published a figure for a model of that name and source.
    """
    spec = ZOO_SPECS.get(model.name)
    if spec is None or model.source != spec.source or spec.card is None:
        return None
    claim = spec.card.accuracy
    if claim is None:
        return None
    reason = _incomparable(claim, model, dataset, totals, asked)
    if reason is not None:
        return f"the card's {claim} is not comparable: {reason}"
    return (
        f"the card has {claim}: the same pictures at the same size, for the published weights in "
        "fp32; a server does not say whose weights it has"
    )


def _incomparable(
    claim: str, model: ModelInfo, dataset: Dataset, totals: Totals, asked: Asked
) -> str | None:
    if not claim.endswith(CITYSCAPES_TASK):
        return "it was measured with another preprocessing than this model's"
    if (dataset.format, dataset.split) != ("cityscapes", "val"):
        return f"this is {dataset.title}"
    if len(dataset.pictures) != CITYSCAPES_PICTURES:
        return f"that is of {CITYSCAPES_PICTURES} pictures, this of {len(dataset.pictures)}"
    if totals.sizes != {CITYSCAPES_SIZE_HW}:
        return "these pictures are not all of 1024x2048"
    if model.preprocessing is None or model.preprocessing.resize.policy != "native":
        return "this model resizes the pictures"
    return None if asked.tiling is None else "the pictures were cut into tiles"
