"""Last step of the ensemble: scores in, class map at the picture's own size out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonseg_steps.contract import (
    CLASS_MAP,
    IMAGE_SIZE,
    PREPROCESSING_PARAMETER,
    SCORES,
    UPSAMPLING_PARAMETER,
)
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.preprocessing import Preprocessing
from tritonseg_steps.step import Arrays, ModelConfig, Step
from tritonseg_steps.upsampling import (
    Upsampling,
    class_map_at_image_size,
    class_map_from_scores,
)


class ArgmaxStep(Step):
    """SCORES (N, C, h, w) float32 and IMAGE_SIZE (N, 2) int32 to CLASS_MAP (N, H, W) uint8."""

    inputs = (SCORES, IMAGE_SIZE)

    def prepare(self, config: ModelConfig) -> None:
        """Read how to upsample and compile the kernels, so that no request waits for it."""
        self._upsampling = Upsampling.from_json(config.parameter(UPSAMPLING_PARAMETER))
        preprocessing = Preprocessing.from_json(config.parameter(PREPROCESSING_PARAMETER))
        self._resize = preprocessing.resize
        class_map_from_scores(np.zeros((2, 2, 2), np.float32), Geometry((4, 4), (4, 4), (4, 4)))

    def run(self, batches: Sequence[Arrays]) -> list[Arrays]:
        """Answer every request by itself; pictures of one request share their size."""
        return [
            {
                CLASS_MAP: np.stack(
                    [
                        self._class_map(scores, self._resize.geometry((int(size[0]), int(size[1]))))
                        for scores, size in zip(arrays[SCORES], arrays[IMAGE_SIZE], strict=True)
                    ]
                )
            }
            for arrays in batches
        ]

    def _class_map(self, scores: NDArray[Any], geometry: Geometry) -> NDArray[np.uint8]:
        if self._upsampling.kind == "class_map":
            return class_map_at_image_size(scores, geometry)
        return class_map_from_scores(scores, geometry, align_corners=self._upsampling.align_corners)
