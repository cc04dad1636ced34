"""The figures of `tritonseg evaluate` once more, by scikit-learn, SciPy and plain loops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score, recall_score


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One picture: labels, (H, W) int, and what a model made of it."""

    labels: np.ndarray
    class_map: np.ndarray
    confidence: np.ndarray | None = None


def figures(pictures: Sequence[Seen], class_count: int, ignored: int) -> dict[str, object]:
    """Return what `report.json` has of a model, by the same names."""
    kept = [one.labels != ignored for one in pictures]
    labels = np.concatenate([one.labels[k] for one, k in zip(pictures, kept, strict=True)])
    predicted = np.concatenate([one.class_map[k] for one, k in zip(pictures, kept, strict=True)])
    classes = list(range(class_count))
    seen = [c for c in classes if (labels == c).any() or (predicted == c).any()]
    labelled = [c for c in classes if (labels == c).any()]
    iou = jaccard_score(labels, predicted, labels=seen, average=None, zero_division=0)
    boundary = boundary_iou(pictures, class_count, ignored)
    known = [value for value in boundary if value is not None]
    return {
        "mean_iou": float(np.mean(iou)),
        "iou": dict(zip(seen, iou.tolist(), strict=True)),
        "pixel_accuracy": accuracy_score(labels, predicted),
        "mean_class_accuracy": recall_score(
            labels, predicted, labels=labelled, average="macro", zero_division=0
        ),
        "frequency_weighted_iou": jaccard_score(
            labels, predicted, labels=labelled, average="weighted", zero_division=0
        ),
        "confusion": confusion_matrix(labels, predicted, labels=classes).tolist(),
        "boundary_iou": boundary,
        "mean_boundary_iou": sum(known) / len(known),
    }


def boundary_iou(pictures: Sequence[Seen], class_count: int, ignored: int) -> list[float | None]:
    """Return every class' boundary IoU, mask by mask, by the definition of Cheng et al."""
    shared, union = [0] * class_count, [0] * class_count
    for one in pictures:
        height, width = one.labels.shape
        distance = max(1, round(0.02 * (height**2 + width**2) ** 0.5))
        void = one.labels == ignored
        for index in range(class_count):
            edges = [
                contour((which == index) & ~void, void, distance)
                for which in (one.labels, one.class_map)
            ]
            shared[index] += int((edges[0] & edges[1]).sum())
            union[index] += int((edges[0] | edges[1]).sum())
    return [s / u if u else None for s, u in zip(shared, union, strict=True)]


def contour(mask: np.ndarray, void: np.ndarray, distance: int) -> np.ndarray:
    """Return the pixels of a mask that erosion takes, where nothing is known taking none."""
    inner = binary_erosion(mask | void, np.ones((3, 3)), iterations=distance, border_value=0)
    return mask & ~inner


def calibration_error(pictures: Sequence[Seen], ignored: int, bins: int = 15) -> float:
    """Return Guo et al.'s expected calibration error, from shares of 0-1 as they write it."""
    levels, right = [], []
    for one in pictures:
        assert one.confidence is not None
        kept = one.labels != ignored
        levels.append(one.confidence[kept])
        right.append((one.labels == one.class_map)[kept])
    level, hit = np.concatenate(levels).astype(int), np.concatenate(right)
    error = 0.0
    for index in range(bins):
        # Edges in levels, so that 17 / 255 is the edge 1 / 15 and not a rounding beside it.
        low, high = 255 * index // bins, 255 * (index + 1) // bins
        inside = (level > low) & (level <= high)
        if index == 0:
            inside |= level == 0
        if inside.any():
            gap = abs(hit[inside].mean() - level[inside].mean() / 255)
            error += inside.mean() * gap
    return float(error)


def resampled(
    pictures: Sequence[Seen], class_count: int, ignored: int, draws: np.ndarray
) -> np.ndarray:
    """Return the mean IoU of every row of `draws`, picture by picture.

    A class that a row does not have counts with its IoU of all pictures.
    """

    def sums(indices: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        hits, union = np.zeros(class_count, int), np.zeros(class_count, int)
        for index in indices:
            one = pictures[index]
            kept = one.labels != ignored
            for c in range(class_count):
                a, b = (one.labels == c) & kept, (one.class_map == c) & kept
                hits[c] += int((a & b).sum())
                union[c] += int((a | b).sum())
        return hits, union

    all_hits, all_union = sums(range(len(pictures)))
    found = []
    for row in draws:
        hits, union = sums(row)
        one_by_one = [
            hits[c] / union[c] if union[c] else all_hits[c] / all_union[c]
            for c in range(class_count)
            if all_union[c]
        ]
        found.append(float(np.mean(one_by_one)))
    return np.array(found)
