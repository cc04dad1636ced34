"""First step of the ensemble: pixels in, network input out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tritonseg_steps.contract import IMAGE, IMAGE_SIZE, NORMALIZED, PREPROCESSING_PARAMETER
from tritonseg_steps.preprocessing import Normalizer, Preprocessing
from tritonseg_steps.step import Arrays, InputError, ModelConfig, Step

ANY = -1
"""A dimension that the engine leaves open."""


class NormalizeStep(Step):
    """IMAGE (N, H, W, 3) uint8 RGB to NORMALIZED (N, 3, h, w) float32 and IMAGE_SIZE (N, 2)."""

    inputs = (IMAGE,)

    def prepare(self, config: ModelConfig) -> None:
        """Read the preprocessing and compile the kernel, so that no request waits for it."""
        document = config.parameter(PREPROCESSING_PARAMETER)
        self._normalizer = Normalizer(Preprocessing.from_json(document))
        _, *self._network_hw = config.output_dims(NORMALIZED)
        self._normalizer.batch(np.zeros((1, 8, 8, 3), np.uint8))

    def run(self, batches: Sequence[Arrays]) -> list[Arrays]:
        """Normalise every request by itself; pictures of one request share their size."""
        return [self._normalize(arrays) for arrays in batches]

    def _normalize(self, arrays: Arrays) -> Arrays:
        images_nhwc = arrays[IMAGE]
        count, height, width, _ = images_nhwc.shape
        if height < 1 or width < 1:
            raise InputError(f"{IMAGE}: expected at least 1x1 pixels, got {height}x{width}")
        self._check_size((height, width))
        return {
            NORMALIZED: self._normalizer.batch(images_nhwc),
            IMAGE_SIZE: np.tile(np.array([height, width], np.int32), (count, 1)),
        }

    def _check_size(self, image_hw: tuple[int, int]) -> None:
        """Refuse what the engine would, in words that a caller can act on."""
        leads_to = self._normalizer.geometry(image_hw).network_hw
        fits = all(want in (ANY, got) for want, got in zip(self._network_hw, leads_to, strict=True))
        if not fits:
            height, width = self._network_hw
            raise InputError(
                f"{IMAGE}: this model takes pictures of {height}x{width} (height x width) only, "
                f"got {image_hw[0]}x{image_hw[1]}; resize the picture, or build the model with a "
                "resize policy or from an export of any size"
            )
