"""Middle step of the ensemble where there is no GPU: the ONNX file, run by OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from tritonseg_steps.contract import ENGINE_PARAMETER, NORMALIZED, SCORES
from tritonseg_steps.step import Arrays, ModelConfig, Step

PRECISION_HINTS = {"fp32": ov.Type.f32, "fp16": ov.Type.bf16, "int8": ov.Type.f32}
"""What OpenVINO may compute in. Without a hint it takes bf16 on CPUs that have it, so an fp32
build says f32; fp16 is no CPU type, bf16 is its nearest."""


class OpenvinoStep(Step):
    """NORMALIZED (N, 3, h, w) float32 to SCORES (N, C, h/s, w/s), every request at its own size."""

    inputs = (NORMALIZED,)

    def prepare(self, config: ModelConfig) -> None:
        """Compile the network; sizes that the ONNX leaves open stay open."""
        engine = config.parameter(ENGINE_PARAMETER)
        core = ov.Core()
        self._compiled = core.compile_model(
            f"{config.directory}/{engine['file']}",
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": PRECISION_HINTS[engine["precision"]],
            },
        )
        self._request = self._compiled.create_infer_request()

    def run(self, batches: Sequence[Arrays]) -> list[Arrays]:
        """Run requests of one size as one batch, others one by one."""
        inputs = [arrays[NORMALIZED] for arrays in batches]
        if len({batch.shape[1:] for batch in inputs}) == 1:
            scores = self._infer(inputs[0] if len(inputs) == 1 else np.concatenate(inputs))
            ends = np.cumsum([len(batch) for batch in inputs])[:-1]
            return [{SCORES: part} for part in np.split(scores, ends)]
        return [{SCORES: self._infer(batch).copy()} for batch in inputs]

    def _infer(self, batch_nchw: NDArray[np.float32]) -> NDArray[np.float32]:
        self._request.set_input_tensor(ov.Tensor(batch_nchw, shared_memory=True))
        self._request.infer()
        scores: NDArray[np.float32] = self._request.get_output_tensor().data
        return scores
