"""The 19 Cityscapes evaluation classes, by train id and by label id.

Source: mcordts/cityscapesScripts, `cityscapesscripts/helpers/labels.py` (ids and names).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

ROAD: Final = 0
SIDEWALK: Final = 1
BUILDING: Final = 2
WALL: Final = 3
FENCE: Final = 4
POLE: Final = 5
TRAFFIC_LIGHT: Final = 6
TRAFFIC_SIGN: Final = 7
VEGETATION: Final = 8
TERRAIN: Final = 9
SKY: Final = 10
PERSON: Final = 11
RIDER: Final = 12
CAR: Final = 13
TRUCK: Final = 14
BUS: Final = 15
TRAIN: Final = 16
MOTORCYCLE: Final = 17
BICYCLE: Final = 18
IGNORE: Final = 255

CLASSES: Final = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
"""Names by train id."""

LABEL_IDS: Final = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Label ids by train id, as the `*_labelIds.png` files of the data set hold them."""


def label_ids_from_train_ids(train_ids_hw: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Translate train ids to label ids.

    Args:
        train_ids_hw: `(H, W)` uint8, 0–18 or 255.

    Returns:
        `(H, W)` uint8 label ids; 255 becomes 0, "unlabeled".
    """
    table = np.zeros(256, dtype=np.uint8)
    table[: len(LABEL_IDS)] = LABEL_IDS
    return table[train_ids_hw]
