"""First step of the ensemble: a picture in, network input out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from tritonseg_steps.compile_ahead import try_normalizer
from tritonseg_steps.contract import (
    ARGMAX_SUFFIX,
    ENCODED_IMAGE,
    ENGINE_SUFFIX,
    IMAGE,
    IMAGE_SIZE,
    NORMALIZE_SUFFIX,
    NORMALIZED,
    PREPROCESSING_PARAMETER,
)
from tritonseg_steps.encoded_image import EncodedImageError, decode_rgb, pixel_count
from tritonseg_steps.flow import Flow
from tritonseg_steps.model_config import ModelConfig
from tritonseg_steps.preprocessing import Normalizer, Preprocessing
from tritonseg_steps.request_bounds import RequestBounds
from tritonseg_steps.step import Step
from tritonseg_steps.step_request import Arrays, InputError, StepRequest
from tritonseg_steps.tally import Tally


class NormalizeStep(Step):
    """A picture to NORMALIZED (N, 3, h, w) float32 and IMAGE_SIZE (N, 2) int32.

    It comes as IMAGE (N, H, W, 3) uint8 RGB, or as a file in ENCODED_IMAGE (N, 1).
    """

    def prepare(self, config: ModelConfig) -> None:
        """Read the preprocessing and compile the kernel, so that no request waits for it."""
        document = config.parameter(PREPROCESSING_PARAMETER)
        preprocessing = Preprocessing.from_json(document)
        self._normalizer = Normalizer(preprocessing)
        self._bounds = RequestBounds.of(config)
        try_normalizer(self._normalizer)

    def flow_behind(self, config: ModelConfig, tally: Tally) -> Flow:
        """Return the view of this ensemble's steps."""
        model = config.name.removesuffix(NORMALIZE_SUFFIX)
        steps = [model + one for one in (NORMALIZE_SUFFIX, ENGINE_SUFFIX, ARGMAX_SUFFIX)]
        return Flow(
            tally,
            steps,
            config.version,
            most=config.in_flight,
            warn=pb_utils.Logger.log_warn,
        )

    def run(self, requests: Sequence[StepRequest]) -> list[Arrays]:
        """Normalise every request by itself; pictures of one request share their size."""
        return [self._normalize(self._images(request.tensors)) for request in requests]

    def _normalize(self, images_nhwc: NDArray[np.uint8]) -> Arrays:
        count, height, width, _ = images_nhwc.shape
        return {
            NORMALIZED: self._normalizer.batch(images_nhwc),
            IMAGE_SIZE: np.tile(np.array([height, width], np.int32), (count, 1)),
        }

    def _images(self, tensors: Arrays) -> NDArray[np.uint8]:
        """Return the request's pictures, `(N, H, W, 3)` uint8 RGB."""
        if (IMAGE in tensors) == (ENCODED_IMAGE in tensors):
            got = "both" if IMAGE in tensors else "neither"
            raise InputError(f"expected either {IMAGE} or {ENCODED_IMAGE}, got {got}")
        if IMAGE in tensors:
            return tensors[IMAGE]
        try:
            return self._decoded(list(tensors[ENCODED_IMAGE].flat))
        except EncodedImageError as error:
            raise InputError(f"{ENCODED_IMAGE}: {error}") from error

    def _decoded(self, files: Sequence[bytes]) -> NDArray[np.uint8]:
        """Decode files of pictures of one size, none before all are known to be within bounds."""
        count, pixels = len(files), sum(map(pixel_count, files))
        _refuse(self._bounds.total_refusal(ENCODED_IMAGE, pixels, count))
        first_hwc = decode_rgb(files[0])
        height, width, _ = first_hwc.shape
        # In words that a caller can act on, which the engine's are not.
        _refuse(self._bounds.pictures_refusal(ENCODED_IMAGE, count, (height, width)))
        if count == 1:
            return first_hwc[None]
        images_nhwc = np.empty((count, *first_hwc.shape), np.uint8)
        images_nhwc[0] = first_hwc
        for target_hwc, encoded in zip(images_nhwc[1:], files[1:], strict=True):
            image_hwc = decode_rgb(encoded)
            if image_hwc.shape != first_hwc.shape:
                raise InputError(
                    f"{ENCODED_IMAGE}: expected pictures of one size in a request, got "
                    f"{height}x{width}, {image_hwc.shape[0]}x{image_hwc.shape[1]}; send each in a "
                    "request of its own"
                )
            target_hwc[...] = image_hwc
        return images_nhwc


def _refuse(refusal: str | None) -> None:
    if refusal is not None:
        raise InputError(refusal)
