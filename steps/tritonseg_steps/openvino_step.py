"""The network where there is no GPU: the ONNX file, run by OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import triton_python_backend_utils as pb_utils

from tritonseg_steps.checksum import exchanged
from tritonseg_steps.contract import (
    CLASS_MAP,
    ENGINE_PARAMETER,
    IMAGE,
    MODEL_PARAMETER,
    NORMALIZED,
    PROVENANCE_PARAMETER,
    SCORES,
)
from tritonseg_steps.digest import ModelDigest
from tritonseg_steps.int8_cpu import recorded_int8_cpu
from tritonseg_steps.model_config import ModelConfig
from tritonseg_steps.openvino_engine import OpenvinoEngine
from tritonseg_steps.step import Step
from tritonseg_steps.step_request import Arrays, InputError, NetworkError, StepRequest
from tritonseg_steps.upsampling import NOT_FINITE


class OpenvinoStep(Step):
    """NORMALIZED (N, 3, h, w) float32 to SCORES (N, C, h/s, w/s), every request at its own size."""

    input_name: ClassVar[str] = NORMALIZED
    output_name: ClassVar[str] = SCORES

    def prepare(self, config: ModelConfig) -> None:
        """Compile the network; sizes that the ONNX leaves open stay open.

        Raises:
            RuntimeError: The file is not the one that was built, or cannot be run here.
        """
        engine = config.parameter(ENGINE_PARAMETER)
        path = Path(config.directory, engine["file"])
        _check_built(config.name, path, engine)
        _check_published(config, engine)
        self._engine = OpenvinoEngine(
            str(path),
            engine["precision"],
            int8_cpu=recorded_int8_cpu(engine, engine["precision"]),
            threads=config.thread_limit,
        )

    def run(self, requests: Sequence[StepRequest]) -> list[Arrays]:
        """Run one request after the other.

        A picture keeps all cores of a CPU busy, so joining them to one batch brings nothing, and
        copies.
        """
        batches = [request.tensors[self.input_name] for request in requests]
        try:
            outputs = self._engine.infer_all(batches)
        except RuntimeError as error:
            if len(batches) > 1 or not self._engine.takes_many_sizes:
                raise
            pb_utils.Logger.log_error(f"{self.name}: {error}")
            size = "x".join(map(str, batches[0].shape[2:]))
            raise InputError(
                f"the network does not take this picture, of which its input is {size} (height x "
                "width); a picture of another size may do, and the server's log says more"
            ) from error
        return [{self.output_name: output} for output in outputs]


def _check_built(model: str, path: Path, engine: Mapping[str, Any]) -> None:
    """Refuse a file that was exchanged: its gate and this config speak of another."""
    problem = exchanged(path, engine["sha256"])
    if problem is not None:
        raise RuntimeError(
            f"{model}: {path} {problem}; put back what was built, or build the model again with "
            "`tritonseg build`"
        )


def _check_published(config: ModelConfig, engine: Mapping[str, Any]) -> None:
    """Refuse an engine beside a digest of another, of which every answer would then say it is.

    Builds of earlier releases publish no engine.
    """
    # The file was hashed a moment ago, so this costs nothing. An ensemble publishes in its own
    # config, which no step sees; to hash the engine in its last step as well would take a second
    # for 300 MB, and Triton may have put the two models into folders far apart. `tritonseg serve`
    # and `verify` hold that file against the manifest before anything is loaded.
    published = (config.optional(PROVENANCE_PARAMETER) or {}).get("engine_sha256")
    if published not in (None, engine["sha256"]):
        raise RuntimeError(
            f"{config.name}: config.pbtxt was changed since the build: {PROVENANCE_PARAMETER!r} "
            f"publishes the engine {published}, and {ENGINE_PARAMETER!r} is of "
            f"{engine['sha256']}; put that back, or build the model again with `tritonseg build`"
        )


class FusedOpenvinoStep(OpenvinoStep):
    """IMAGE (N, h, w, 3) uint8 RGB to CLASS_MAP (N, h, w) uint8: a graph with the steps in it.

    MODEL_DIGEST (N, 32) uint8 besides.
    """

    input_name = IMAGE
    output_name = CLASS_MAP

    def prepare(self, config: ModelConfig) -> None:
        """Compile the graph."""
        super().prepare(config)
        self._digest = ModelDigest.of(config, fused=True)
        self._class_count = len(config.parameter(MODEL_PARAMETER)["classes"])

    def run(self, requests: Sequence[StepRequest]) -> list[Arrays]:
        """Run one request after the other, and refuse what the graph marks as no class."""
        answers = super().run(requests)
        for answer in answers:
            if answer[CLASS_MAP].max() >= self._class_count:
                raise NetworkError(f"{NOT_FINITE}, or an index of no class")
            answer.update(self._digest.answer(len(answer[CLASS_MAP])))
        return answers
