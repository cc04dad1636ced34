"""The network where there is no GPU: the ONNX file, run by OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from tritonseg_steps.contract import CLASS_MAP, ENGINE_PARAMETER, IMAGE, NORMALIZED, SCORES
from tritonseg_steps.openvino_engine import OpenvinoEngine
from tritonseg_steps.step import Arrays, ModelConfig, Step, StepRequest


class OpenvinoStep(Step):
    """NORMALIZED (N, 3, h, w) float32 to SCORES (N, C, h/s, w/s), every request at its own size."""

    input_name: ClassVar[str] = NORMALIZED
    output_name: ClassVar[str] = SCORES

    def prepare(self, config: ModelConfig) -> None:
        """Compile the network; sizes that the ONNX leaves open stay open."""
        engine = config.parameter(ENGINE_PARAMETER)
        self._engine = OpenvinoEngine(f"{config.directory}/{engine['file']}", engine["precision"])

    def run(self, requests: Sequence[StepRequest]) -> list[Arrays]:
        """Run requests of one size as one batch, others one by one."""
        inputs = [request.tensors[self.input_name] for request in requests]
        if len({batch.shape[1:] for batch in inputs}) == 1:
            joined = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
            output = self._engine.infer(joined)
            ends = np.cumsum([len(batch) for batch in inputs])[:-1]
            return [{self.output_name: part} for part in np.split(output, ends)]
        return [{self.output_name: self._engine.infer(batch).copy()} for batch in inputs]


class FusedOpenvinoStep(OpenvinoStep):
    """IMAGE (N, h, w, 3) uint8 RGB to CLASS_MAP (N, h, w) uint8: a graph with the steps in it."""

    input_name = IMAGE
    output_name = CLASS_MAP
