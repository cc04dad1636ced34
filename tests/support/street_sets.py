"""Drawn streets in the layout in which Cityscapes is distributed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from demo_model.scenes import draw_scene
from tritonseg_engines.zoo.label_sets import CITYSCAPES_LABEL_IDS

FIRST_SEED = 900_000
EGO_VEHICLE = 1


def write_streets(root: Path, count: int, *, height: int = 128, width: int = 256) -> Path:
    """Write pictures and their `labelIds` as the split val, in two cities."""
    ids = np.zeros(256, np.uint8)
    ids[: len(CITYSCAPES_LABEL_IDS)] = CITYSCAPES_LABEL_IDS
    ids[255] = EGO_VEHICLE
    for index in range(count):
        scene = draw_scene(FIRST_SEED + index, height=height, width=width)
        city = ("aachen", "bochum")[index % 2]
        for kind, ending, pixels in (
            ("leftImg8bit", "leftImg8bit", scene.image_hwc),
            ("gtFine", "gtFine_labelIds", ids[scene.labels_hw]),
        ):
            file = root / kind / "val" / city / f"{city}_{index:06d}_000019_{ending}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    return root
