"""What a random export's output means, by ONNX Runtime and NumPy and nothing of the product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime

from random_tails import Ranking

MARGIN = {"float32": 1e-3, "float16": 1e-2}
"""By which the best score must differ from the next, as a share of the largest, for rounding not
to move the class; by what is computed in."""
LARGEST_AT_LEAST = 1e-3
FATAL_LEVEL_ONLY = 4


class CannotRunError(Exception):
    """ONNX Runtime does not take the file, or not this picture."""


def run(model: onnx.ModelProto, batch: np.ndarray, outputs: Sequence[str]) -> list[np.ndarray]:
    """Return tensors of a model, whether they are outputs of it or not.

    Raises:
        CannotRunError: ONNX Runtime does not run it.
    """
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    known = {value.name for value in model.graph.output}
    asked.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in outputs if name not in known
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_LEVEL_ONLY
    try:
        session = onnxruntime.InferenceSession(
            asked.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found: list[np.ndarray] = session.run(list(outputs), {"image": batch})
    except Exception as error:  # its exceptions have no other base
        raise CannotRunError(str(error)) from error
    return found


def score_mask(
    output: np.ndarray, size_hw: tuple[int, int], *, count: int, threshold: float, half: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes of scores of one picture, and where rounding cannot move them."""
    scores = output.astype(np.float64)
    scores = scores.reshape(scores.shape[-3:]) if scores.ndim == 4 else scores
    if scores.shape[0] != count:
        scores = scores.transpose(2, 0, 1)
    scores = np.stack([bilinear(plane, size_hw) for plane in scores])
    if count == 1:
        distance = scores[0] - threshold
        return (distance > 0).astype(int), np.abs(distance) > _margin(scores, half=half)
    ranked = np.sort(scores, axis=0)
    return scores.argmax(axis=0), ranked[-1] - ranked[-2] > _margin(scores, half=half)


def class_mask(
    output: np.ndarray,
    ranked: np.ndarray,
    ranking: Ranking,
    size_hw: tuple[int, int],
    *,
    half: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return class indices at a picture's size, and where rounding cannot move them.

    Args:
        output: Of the export.
        ranked: What its classes were taken from.
        ranking: How.
        size_hw: Of the picture.
        half: Whether it computes in float16.
    """
    classes_hw = np.squeeze(output).astype(int)
    stable_hw = stable_classes(ranked, ranking, half=half)
    return nearest(classes_hw, size_hw), nearest(stable_hw, size_hw)


def stable_classes(ranked: np.ndarray, ranking: Ranking, *, half: bool) -> np.ndarray:
    """Return where the class with the best score stays the best, whatever rounding does."""
    scores = np.moveaxis(ranked[0].astype(np.float64), ranking.axis - 1, 0)
    if ranking.threshold is not None:
        stable_hw: np.ndarray = np.abs(scores[0] - ranking.threshold) > _margin(scores, half=half)
        return stable_hw
    ordered = np.sort(-scores if ranking.lowest else scores, axis=0)
    distance_hw = ordered[-1] - ordered[-2]
    # What a clamp made equal is equal everywhere, and the order of the classes decides.
    clamped_hw = (distance_hw == 0) & (ordered[-1] == 0)
    return (distance_hw > _margin(scores, half=half)) | (clamped_hw & (not half))


def bilinear(plane: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Half-pixel centres, edges repeated."""
    axes = []
    for wanted, have in zip(size_hw, plane.shape, strict=True):
        position = ((np.arange(wanted) + 0.5) * have / wanted - 0.5).clip(0, have - 1)
        low = np.floor(position).astype(int)
        axes.append((low, np.minimum(low + 1, have - 1), position - low))
    (top, bottom, down), (left, right, along) = axes
    rows = plane[top] * (1 - down)[:, None] + plane[bottom] * down[:, None]
    interpolated: np.ndarray = rows[:, left] * (1 - along) + rows[:, right] * along
    return interpolated


def nearest(classes_hw: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """The class whose cell a pixel's centre lies in."""
    rows, columns = (
        (2 * np.arange(wanted) + 1) * have // (2 * wanted)
        for wanted, have in zip(size_hw, classes_hw.shape, strict=True)
    )
    found: np.ndarray = classes_hw[rows[:, None], columns]
    return found


def _margin(scores: np.ndarray, *, half: bool) -> Any:
    share = MARGIN["float16" if half else "float32"]
    return share * max(np.abs(scores).max(), LARGEST_AT_LEAST)
