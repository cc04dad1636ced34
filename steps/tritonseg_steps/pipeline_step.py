"""The whole ensemble in one process, for the CPU.

Between models of their own, every tensor is copied out of one process and into the next: 25 MB of
network input and 10 to 40 MB of scores a picture at 1024x2048. Here only the picture comes in and
only the class map goes out. The steps are the same classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tritonseg_steps.argmax_step import ArgmaxStep
from tritonseg_steps.model_config import ModelConfig
from tritonseg_steps.normalize_step import NormalizeStep
from tritonseg_steps.openvino_step import OpenvinoStep
from tritonseg_steps.step import Step
from tritonseg_steps.step_request import Arrays, StepRequest


class WholePipelineStep(Step):
    """Takes what the normalize step takes, and gives what the argmax step gives."""

    def prepare(self, config: ModelConfig) -> None:
        """Prepare every step from this model's own config, which has the parameters of all."""
        self._steps = (NormalizeStep(), OpenvinoStep(), ArgmaxStep())
        for step in self._steps:
            step.prepare(config)

    def run(self, requests: Sequence[StepRequest]) -> list[Arrays]:
        """Answer one request after the other; each has all cores."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: StepRequest) -> Arrays:
        answer: Arrays = {}
        for step in self._steps:
            (answer,) = step.run([request])
            request = replace(request, tensors={**request.tensors, **answer})
        return answer
