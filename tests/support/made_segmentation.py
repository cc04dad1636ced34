"""A `Segmentation` of a class map, without a server."""

from __future__ import annotations

import numpy as np

from tritonseg import ModelInfo, Segmentation, Timings
from tritonseg._pictures.picture import RgbImage


def make_segmentation(class_map, palette, image_hwc=None):
    class_map = np.asarray(class_map, np.uint8)
    if image_hwc is None:
        image_hwc = np.zeros((*class_map.shape, 3), np.uint8)
    height, width = class_map.shape
    picture = RgbImage(
        pixels=image_hwc.tobytes(), size=(height, width), stored_size=(width, height)
    )
    return Segmentation(
        class_map=class_map,
        confidence=None,
        picture=picture,
        model=ModelInfo(
            name="street-demo",
            version="1",
            classes=tuple(f"class {index}" for index in range(len(palette))),
            palette=tuple(tuple(color) for color in palette),
            ignore_index=None,
            license="",
            source="",
            precision="fp32",
            runtime="openvino",
            onnx_sha256="0" * 64,
            tritonseg_version="0.1.0",
            takes_files=True,
            gives_confidence=True,
        ),
        model_version="1",
        request_id="frame-17",
        timings=Timings(read_s=0.001, attempt_s=0.02, total_s=0.021, attempts=1),
    )


COLORS = ((10, 20, 30), (200, 100, 0), (0, 0, 255))
