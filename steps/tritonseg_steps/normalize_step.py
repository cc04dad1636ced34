"""First step of the ensemble: pixels in, network input out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tritonseg_steps.contract import IMAGE, IMAGE_SIZE, NORMALIZED, PREPROCESSING_PARAMETER
from tritonseg_steps.preprocessing import Normalizer, Preprocessing
from tritonseg_steps.step import Arrays, InputError, ModelConfig, Step


class NormalizeStep(Step):
    """IMAGE (N, H, W, 3) uint8 RGB to NORMALIZED (N, 3, h, w) float32 and IMAGE_SIZE (N, 2)."""

    inputs = (IMAGE,)

    def prepare(self, config: ModelConfig) -> None:
        """Read the preprocessing and compile the kernel, so that no request waits for it."""
        document = config.parameter(PREPROCESSING_PARAMETER)
        self._normalizer = Normalizer(Preprocessing.from_json(document))
        self._normalizer.batch(np.zeros((1, 8, 8, 3), np.uint8))

    def run(self, batches: Sequence[Arrays]) -> list[Arrays]:
        """Normalise every request by itself; pictures of one request share their size."""
        return [self._normalize(arrays) for arrays in batches]

    def _normalize(self, arrays: Arrays) -> Arrays:
        images_nhwc = arrays[IMAGE]
        count, height, width, _ = images_nhwc.shape
        if height < 1 or width < 1:
            raise InputError(f"{IMAGE}: expected at least 1x1 pixels, got {height}x{width}")
        return {
            NORMALIZED: self._normalizer.batch(images_nhwc),
            IMAGE_SIZE: np.tile(np.array([height, width], np.int32), (count, 1)),
        }
