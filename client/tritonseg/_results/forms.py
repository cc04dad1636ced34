"""Results in the forms of other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from .._config import check_int
from .._extras import import_extra
from .coco import ClassRuns

_Mask = npt.NDArray[np.bool_]


def detections(
    runs: list[ClassRuns],
    masks: list[_Mask],
    names: list[str],
    confidence: npt.NDArray[np.uint8] | None,
) -> Any:
    """Return `supervision.Detections` of one mask a class, and of its box."""
    supervision = import_extra("supervision", extra="supervision", need="to_supervision")
    boxes = np.array([one.box_xywh for one in runs], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    means = None
    if confidence is not None:
        means = np.array([confidence[mask].mean() / 255 for mask in masks], np.float32)
    return supervision.Detections(
        xyxy=boxes,
        mask=np.stack(masks),
        class_id=np.array([one.index for one in runs]),
        confidence=means,
        data={"class_name": np.array(names)},
    )


def labelled_masks(masks: list[_Mask], names: list[str]) -> list[dict[str, Any]]:
    """Return what transformers' `image-segmentation` pipeline returns for semantic models."""
    return [
        {"score": None, "label": name, "mask": Image.fromarray(np.where(mask, 255, 0).astype("u1"))}
        for name, mask in zip(names, masks, strict=True)
    ]


def fiftyone_label(class_map: npt.NDArray[np.uint8], first_value: int) -> Any:
    """Return a `fiftyone.Segmentation` in which class 0 has `first_value`.

    Raises:
        ConfigurationError: `first_value` is neither 0 nor 1, or fiftyone is not installed.
    """
    check_int("first_value", first_value, 0, 1)
    fiftyone = import_extra("fiftyone", extra="fiftyone", need="to_fiftyone")
    # 256 classes from 1 on are more than 8 bits hold.
    values = class_map.astype(np.uint16) + np.uint16(first_value)
    return fiftyone.Segmentation(mask=values if values.max() > 255 else values.astype(np.uint8))
