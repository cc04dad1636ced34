"""First step of the ensemble: a picture in, network input out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tritonseg_steps.contract import (
    ENCODED_IMAGE,
    IMAGE,
    IMAGE_SIZE,
    NETWORK_SIZES_PARAMETER,
    NORMALIZED,
    PREPROCESSING_PARAMETER,
)
from tritonseg_steps.cuda.normalize import CudaNormalizer
from tritonseg_steps.encoded_image import EncodedImageError, decode_rgb
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.picture_sizes import picture_refusal
from tritonseg_steps.preprocessing import Normalizer, Preprocessing
from tritonseg_steps.step import Arrays, InputError, ModelConfig, Step, StepRequest


class NormalizeStep(Step):
    """A picture to NORMALIZED (N, 3, h, w) float32 and IMAGE_SIZE (N, 2) int32.

    It comes as IMAGE (N, H, W, 3) uint8 RGB, or as a file in ENCODED_IMAGE (N, 1).
    """

    def prepare(self, config: ModelConfig) -> None:
        """Read the preprocessing and compile the kernel, so that no request waits for it."""
        document = config.parameter(PREPROCESSING_PARAMETER)
        preprocessing = Preprocessing.from_json(document)
        self._normalizer = (
            Normalizer(preprocessing)
            if self.device is None
            else CudaNormalizer(preprocessing, self.device)
        )
        self._resize = preprocessing.resize
        self._sizes = NetworkSizes.from_json(config.parameter(NETWORK_SIZES_PARAMETER))
        picture = np.zeros((1, 8, 8, 3), np.uint8)
        self._normalizer.batch(picture)
        picture.flags.writeable = False  # as a decoded one is, which Numba compiles for itself
        self._normalizer.batch(picture)

    def run(self, requests: Sequence[StepRequest]) -> list[Arrays]:
        """Normalise every request by itself; pictures of one request share their size."""
        return [self._normalize(_images(request.tensors)) for request in requests]

    def _normalize(self, images_nhwc: NDArray[np.uint8]) -> Arrays:
        count, height, width, _ = images_nhwc.shape
        if height < 1 or width < 1:
            raise InputError(f"{IMAGE}: expected at least 1x1 pixels, got {height}x{width}")
        refusal = picture_refusal(self._resize, self._sizes, (height, width))
        if refusal is not None:  # in words that a caller can act on, which the engine's are not
            raise InputError(refusal)
        return {
            NORMALIZED: self._normalizer.batch(images_nhwc),
            IMAGE_SIZE: np.tile(np.array([height, width], np.int32), (count, 1)),
        }


def _images(tensors: Arrays) -> NDArray[np.uint8]:
    """Return the request's pictures, `(N, H, W, 3)` uint8 RGB."""
    if (IMAGE in tensors) == (ENCODED_IMAGE in tensors):
        got = "both" if IMAGE in tensors else "neither"
        raise InputError(f"expected either {IMAGE} or {ENCODED_IMAGE}, got {got}")
    if IMAGE in tensors:
        return tensors[IMAGE]
    try:
        images = [decode_rgb(encoded) for encoded in tensors[ENCODED_IMAGE].flat]
    except EncodedImageError as error:
        raise InputError(f"{ENCODED_IMAGE}: {error}") from error
    if len({image_hwc.shape for image_hwc in images}) > 1:
        sizes = ", ".join(f"{height}x{width}" for height, width, _ in (i.shape for i in images))
        raise InputError(
            f"{ENCODED_IMAGE}: expected pictures of one size in a request, got {sizes}; send "
            "each in a request of its own"
        )
    return images[0][None] if len(images) == 1 else np.stack(images)
