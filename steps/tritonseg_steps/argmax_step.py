"""Last step of the ensemble: scores in, class map at the picture's own size out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonseg_steps import upsampling
from tritonseg_steps.compile_ahead import try_upsampler
from tritonseg_steps.contract import (
    CLASS_MAP,
    CLASS_PIXELS,
    CLASS_PIXELS_REQUEST,
    CONFIDENCE,
    CONFIDENCE_REQUEST,
    IMAGE_SIZE,
    PREPROCESSING_PARAMETER,
    SCORES,
    UPSAMPLING_PARAMETER,
)
from tritonseg_steps.cuda.argmax import CudaUpsampler
from tritonseg_steps.cuda.device import CupyDevice, DeviceArray
from tritonseg_steps.digest import ModelDigest
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.model_config import ModelConfig
from tritonseg_steps.preprocessing import Preprocessing
from tritonseg_steps.step import Step
from tritonseg_steps.step_request import Arrays, InputError, NetworkError, StepRequest
from tritonseg_steps.upsampling import Upsampling

COUNTED_AT_ONCE = 2**20
"""Pixels."""


class ArgmaxStep(Step):
    """SCORES (N, C, h, w) float32 and IMAGE_SIZE (N, 2) int32 to CLASS_MAP (N, H, W) uint8.

    MODEL_DIGEST (N, 32) uint8 besides; CONFIDENCE (N, H, W) uint8 and CLASS_PIXELS (N, C) int64
    where the request asks for them. On a GPU too the scores come by the host: what Triton hands
    over there may be another request's.
    """

    def prepare(self, config: ModelConfig) -> None:
        """Read how to upsample and compile the kernels, so that no request waits for it."""
        self._upsampling = Upsampling.from_json(config.parameter(UPSAMPLING_PARAMETER))
        preprocessing = Preprocessing.from_json(config.parameter(PREPROCESSING_PARAMETER))
        self._resize = preprocessing.resize
        self._digest = ModelDigest.of(config)
        (self._class_count,) = config.output_dims(CLASS_PIXELS)
        # The module and the class have the same functions.
        self._device = None if config.gpu is None else CupyDevice(config.gpu)
        self._upsampler = upsampling if self._device is None else CudaUpsampler(self._device)
        scores_chw = np.zeros((2, 2, 2), np.float32)
        try_upsampler(self._upsampler, self._placed(scores_chw))

    def run(self, requests: Sequence[StepRequest]) -> list[Arrays]:
        """Answer every request by itself; pictures of one request share their size."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: StepRequest) -> Arrays:
        confidence = request.asks_for(CONFIDENCE, CONFIDENCE_REQUEST)
        if confidence and self._upsampling.confidence is None:
            raise InputError(
                f"{CONFIDENCE}: this model's network gives classes, or scores with a threshold of "
                "their own, or that are neither logits nor probabilities of the classes, which say "
                "nothing about it; ask without, or build the model from an export that ends in its "
                "raw scores"
            )
        pictures = [
            (scores, self._resize.geometry((int(size[0]), int(size[1]))))
            for scores, size in zip(
                self._placed(request.tensors[SCORES]), request.tensors[IMAGE_SIZE], strict=True
            )
        ]
        class_maps = [self._class_map(*picture) for picture in pictures]
        answer: Arrays = {
            CLASS_MAP: _stack(class_maps),
            **self._digest.answer(len(class_maps)),
        }
        if confidence:
            answer[CONFIDENCE] = _stack(
                [
                    self._upsampler.confidence_from_scores(
                        *picture,
                        align_corners=self._upsampling.align_corners,
                        are_probabilities=self._upsampling.confidence == "probability",
                    )
                    for picture in pictures
                ]
            )
        if request.asks_for(CLASS_PIXELS, CLASS_PIXELS_REQUEST):
            answer[CLASS_PIXELS] = _stack(
                [_class_pixels(one, self._class_count) for one in class_maps]
            )
        return answer

    def _placed(self, scores: NDArray[Any]) -> NDArray[Any] | DeviceArray:
        """Return them where they are upsampled."""
        return scores if self._device is None else self._device.upload(scores)

    def _class_map(
        self, scores: NDArray[Any] | DeviceArray, geometry: Geometry
    ) -> NDArray[np.uint8]:
        flaw = self._upsampler.flaw(scores, self._upsampling, self._class_count)
        if flaw is not None:
            raise NetworkError(flaw)
        if self._upsampling.kind == "class_map":
            return self._upsampler.class_map_at_image_size(scores, geometry)
        return self._upsampler.class_map_from_scores(
            scores, geometry, align_corners=self._upsampling.align_corners
        )


def _class_pixels(class_map_hw: NDArray[np.uint8], class_count: int) -> NDArray[np.int64]:
    """Count in blocks: NumPy makes 8 bytes of each that it counts."""
    pixels = class_map_hw.ravel()
    counts = np.zeros(class_count, np.int64)
    for start in range(0, pixels.size, COUNTED_AT_ONCE):
        counts += np.bincount(pixels[start : start + COUNTED_AT_ONCE], minlength=class_count)
    return counts


def _stack(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Add the batch axis, without a copy for a single picture."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
