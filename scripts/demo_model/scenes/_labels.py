"""The 19 Cityscapes evaluation classes by train id, under the names that drawing uses."""

from __future__ import annotations

from typing import Final

from tritonseg_engines.zoo.label_sets import CITYSCAPES_IGNORE_INDEX

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
IGNORE: Final = CITYSCAPES_IGNORE_INDEX
