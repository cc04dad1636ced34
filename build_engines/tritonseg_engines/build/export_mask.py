"""What an export's own output means: a class for every pixel of a picture, taken with NumPy.

Nothing of the steps and nothing of the surgery is used here, because both are held against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tritonseg_steps.geometry import Geometry, Size

RELATIVE_MARGIN, RELATIVE_MARGIN_HALF = 1e-4, 4e-3
"""By which the two best scores must differ for a pixel to count, as a share of the largest score:
what another order of additions explains, in a file that computes in float16 its rounding too."""
LARGEST_IN_LEADS = 4
"""Largest score, in largest differences, that such a share is taken of: scores that have more in
common are moved together, and only their rounding is left."""
ROUNDED = 32 * float(np.finfo(np.float32).eps)
"""Of the largest score whatever it is: a float32 that was rounded some times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mask:
    """What a picture's classes are.

    Attributes:
        classes_hw: `(H, W)` class of every pixel.
        stable_hw: `(H, W)` bool, where rounding cannot make it another.
    """

    classes_hw: NDArray[np.int64]
    stable_hw: NDArray[np.bool_]

    def classes(self) -> frozenset[int]:
        """Return the classes that the picture shows."""
        return frozenset(np.unique(self.classes_hw).tolist())

    def share_equal(self, actual_hw: NDArray[np.uint8]) -> float:
        """Return the share of the stable pixels with the same class, 1 where none is stable."""
        if not self.stable_hw.any():
            return 1.0
        return float((actual_hw == self.classes_hw)[self.stable_hw].mean())


def mask_of_scores(
    scores_chw: NDArray[Any],
    geometry: Geometry,
    *,
    threshold: float = 0.0,
    align_corners: bool = False,
    in_half: bool = False,
) -> Mask:
    """Return the argmax of scores that are interpolated at the picture's pixels, plane by plane.

    Args:
        scores_chw: `(C, h, w)` floats over the network's input; one plane has a threshold.
        geometry: Where the picture lies in that input.
        threshold: From which on a single plane's pixels are of the second class.
        align_corners: Whether the corner centres of scores and input coincide, else their edges.
        in_half: Whether they were computed in float16.
    """
    planes = (
        _interpolated(plane.astype(np.float32), geometry, align_corners=align_corners)
        for plane in scores_chw
    )
    best_hw = next(planes)
    classes_hw = np.zeros(geometry.image_hw, np.int64)
    second_hw = np.full(geometry.image_hw, -np.inf, np.float32)
    for index, plane_hw in enumerate(planes, start=1):
        classes_hw[plane_hw > best_hw] = index
        np.maximum(second_hw, np.minimum(plane_hw, best_hw), out=second_hw)
        best_hw = np.maximum(best_hw, plane_hw)
    lead_hw = best_hw - second_hw
    if len(scores_chw) == 1:
        classes_hw, lead_hw = (best_hw > threshold).astype(np.int64), np.abs(best_hw - threshold)
    mask = Mask(classes_hw=classes_hw, stable_hw=lead_hw > _margin(best_hw, lead_hw, in_half))
    return _with_outside(mask, geometry)


def _margin(best_hw: NDArray[np.float32], lead_hw: NDArray[np.float32], in_half: bool) -> float:
    """Return by how much a score must lead for rounding not to make another the best.

    Of the best scores only: a class that is masked by -1e6 says nothing about the others.
    """
    largest = float(np.abs(best_hw).max())
    if in_half:
        return RELATIVE_MARGIN_HALF * largest
    apart = min(largest, LARGEST_IN_LEADS * float(lead_hw.max()))
    return RELATIVE_MARGIN * apart + ROUNDED * largest


def mask_of_classes(classes_hw: NDArray[np.int64], geometry: Geometry) -> Mask:
    """Return the class of the cell that every pixel's centre lies in.

    Args:
        classes_hw: `(h, w)` over the network's input.
        geometry: Where the picture lies in that input.
    """
    axes = []
    for axis, cells in enumerate(classes_hw.shape):
        image, content, network, offset = _along(geometry, axis)
        twice_centre = 2 * np.arange(image, dtype=np.int64) + 1
        place = twice_centre * content + 2 * image * offset  # in parts of 2 * image to the pixel
        first, last = _content_cells(cells, content, network, offset)
        axes.append((place * cells // (2 * image * network)).clip(first, last))
    rows, columns = axes
    mask = Mask(
        classes_hw=classes_hw[rows[:, None], columns],
        stable_hw=np.ones(geometry.image_hw, np.bool_),
    )
    return _with_outside(mask, geometry)


def _interpolated(
    plane_hw: NDArray[np.float32], geometry: Geometry, *, align_corners: bool
) -> NDArray[np.float32]:
    whole = geometry.content_hw == geometry.network_hw
    if whole and not align_corners:
        return _resized(plane_hw, geometry.image_hw)
    axes = []
    for axis, cells in enumerate(plane_hw.shape):
        image, content, network, offset = _along(geometry, axis)
        # In pixels of the network's input.
        centre = offset + (np.arange(image) + 0.5) * content / image
        if align_corners:
            place = (centre - 0.5) * (cells - 1) / max(1, network - 1)
        else:
            place = centre * cells / network - 0.5
        first, last = _content_cells(cells, content, network, offset)
        place = place.clip(first, last)
        before = np.floor(place).astype(np.int64)
        axes.append((before, np.minimum(before + 1, last), (place - before).astype(np.float32)))
    (top, bottom, down), (left, right, across) = axes
    rows = plane_hw[top] * (1 - down)[:, None] + plane_hw[bottom] * down[:, None]
    interpolated: NDArray[np.float32] = rows[:, left] * (1 - across) + rows[:, right] * across
    return interpolated


def _resized(plane_hw: NDArray[np.float32], size_hw: Size) -> NDArray[np.float32]:
    if plane_hw.shape == size_hw:
        return plane_hw
    resized: NDArray[np.float32] = cv2.resize(
        plane_hw, size_hw[::-1], interpolation=cv2.INTER_LINEAR
    ).astype(np.float32)
    return resized


def _content_cells(cells: int, content: int, network: int, offset: int) -> tuple[int, int]:
    """First and last of the cells that hold anything of the picture, and not padding alone."""
    last = math.ceil((offset + content) * cells / network) - 1
    return max(0, math.floor(offset * cells / network)), min(cells - 1, last)


def _along(geometry: Geometry, axis: int) -> tuple[int, int, int, int]:
    """Return size of picture, content and input, and where the content begins, along one axis."""
    return (
        geometry.image_hw[axis],
        geometry.content_hw[axis],
        geometry.network_hw[axis],
        geometry.offset_hw[axis],
    )


def _with_outside(mask: Mask, geometry: Geometry) -> Mask:
    """Return the same where pixels that are cut off have the class that the policy gives them."""
    if geometry.outside is None:
        return mask
    seen = []
    for axis in (0, 1):
        image, content, network, offset = _along(geometry, axis)
        centre = offset + (np.arange(image) + 0.5) * content / image
        seen.append((centre >= 0) & (centre < network))
    outside_hw = ~(seen[0][:, None] & seen[1])
    return replace(
        mask,
        classes_hw=np.where(outside_hw, geometry.outside, mask.classes_hw),
        stable_hw=mask.stable_hw | outside_hw,
    )
