"""Middle step of the ensemble where there is no GPU: the ONNX file, run by OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tritonseg_steps.contract import ENGINE_PARAMETER, NORMALIZED, SCORES
from tritonseg_steps.openvino_engine import OpenvinoEngine
from tritonseg_steps.step import Arrays, ModelConfig, Step


class OpenvinoStep(Step):
    """NORMALIZED (N, 3, h, w) float32 to SCORES (N, C, h/s, w/s), every request at its own size."""

    inputs = (NORMALIZED,)

    def prepare(self, config: ModelConfig) -> None:
        """Compile the network; sizes that the ONNX leaves open stay open."""
        engine = config.parameter(ENGINE_PARAMETER)
        self._engine = OpenvinoEngine(f"{config.directory}/{engine['file']}", engine["precision"])

    def run(self, batches: Sequence[Arrays]) -> list[Arrays]:
        """Run requests of one size as one batch, others one by one."""
        inputs = [arrays[NORMALIZED] for arrays in batches]
        if len({batch.shape[1:] for batch in inputs}) == 1:
            joined = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
            scores = self._engine.infer(joined)
            ends = np.cumsum([len(batch) for batch in inputs])[:-1]
            return [{SCORES: part} for part in np.split(scores, ends)]
        return [{SCORES: self._engine.infer(batch).copy()} for batch in inputs]
