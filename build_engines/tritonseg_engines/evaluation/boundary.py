"""Where the boundaries of classes are, for the boundary IoU.

Source: Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR
2021: of a class' mask only the pixels count that are within d of its contour, and d is 0.02 of the
picture's diagonal. Distances are along rows, columns and diagonals, as in the authors' program, and
the edge of the picture is a contour.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

DIAGONAL_SHARE: Final = 0.02
_NO_CLASS_MIN: Final = 2**16 - 1
"""Above every class, so that it is no minimum of a neighbourhood."""


def boundary_width_px(height: int, width: int) -> int:
    """Return d for a picture of a size, in pixels; at least 1."""
    return max(1, round(DIAGONAL_SHARE * float(np.hypot(height, width))))


def boundaries(classes_hw: NDArray[np.int16], width_px: int) -> NDArray[np.bool_]:
    """Return which pixels are within some distance of a pixel of another class.

    Pixels without a class are no other class: nothing is known of them, so no boundary runs along
    them, in labels or predictions.

    Args:
        classes_hw: (H, W) int16, class indices, below 0 for no class.
        width_px: The distance d.

    Returns:
        (H, W) bool; False where there is no class.
    """
    known = classes_hw >= 0
    own = classes_hw.astype(np.uint16) + 1  # what has no class is 0, the least, from here on
    window = np.ones((2 * width_px + 1, 2 * width_px + 1), np.uint8)
    own[~known] = 0
    most = cv2.dilate(own, window)
    own[~known] = _NO_CLASS_MIN
    least = cv2.erode(own, window)
    found: NDArray[np.bool_] = most != least
    found[:width_px] = found[-width_px:] = True
    found[:, :width_px] = found[:, -width_px:] = True
    return found & known
