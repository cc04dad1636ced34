"""The usual ensemble, to compare with: NumPy normalization, full-size float scores, NumPy argmax.

Three Python-backend steps around the same network in the same runtime, as the published examples
write them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from cases import Case

NORMALIZE = """
import numpy as np
import triton_python_backend_utils as pb

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        image = pb.get_input_tensor_by_name(request, "IMAGE").as_numpy()
        scaled = (image.astype(np.float32) / 255 - MEAN) / STD
        tensor = np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
        return pb.InferenceResponse([pb.Tensor("NORMALIZED", tensor)])
"""

ENGINE = """
import os
import openvino as ov
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        properties = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        self.compiled = ov.Core().compile_model(path, "CPU", properties)

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        batch = pb.get_input_tensor_by_name(request, "NORMALIZED").as_numpy()
        scores = self.compiled(batch)[0]
        return pb.InferenceResponse([pb.Tensor("SCORES", scores)])
"""

ARGMAX = """
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        scores = pb.get_input_tensor_by_name(request, "SCORES").as_numpy()
        class_map = scores.argmax(axis=1).astype(np.uint8)
        return pb.InferenceResponse([pb.Tensor("CLASS_MAP", class_map)])
"""

STEP = """
name: "{name}"
backend: "python"
max_batch_size: 8
input [ {{ name: "{input}" data_type: {input_type} dims: {input_dims} }} ]
output [ {{ name: "{output}" data_type: {output_type} dims: {output_dims} }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""

ENSEMBLE = """
name: "naive"
platform: "ensemble"
max_batch_size: 8
input [ { name: "IMAGE" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] } ]
output [ { name: "CLASS_MAP" data_type: TYPE_UINT8 dims: [ -1, -1 ] } ]
ensemble_scheduling {
  step [
    { model_name: "naive_normalize" model_version: -1
      input_map { key: "IMAGE" value: "IMAGE" }
      output_map { key: "NORMALIZED" value: "NORMALIZED" } },
    { model_name: "naive_engine" model_version: -1
      input_map { key: "NORMALIZED" value: "NORMALIZED" }
      output_map { key: "SCORES" value: "SCORES" } },
    { model_name: "naive_argmax" model_version: -1
      input_map { key: "SCORES" value: "SCORES" }
      output_map { key: "CLASS_MAP" value: "CLASS_MAP" } }
  ]
}
"""

_IMAGE = ("IMAGE", "TYPE_UINT8", "[ -1, -1, 3 ]")
_NORMALIZED = ("NORMALIZED", "TYPE_FP32", "[ 3, -1, -1 ]")
_SCORES = ("SCORES", "TYPE_FP32", "[ -1, -1, -1 ]")
_CLASS_MAP = ("CLASS_MAP", "TYPE_UINT8", "[ -1, -1 ]")


def write_naive(repository: Path, case: Case) -> None:
    """Write the naive ensemble, named "naive", with the export as it is."""
    _write_step(repository, "naive_normalize", NORMALIZE, _IMAGE, _NORMALIZED)
    _write_step(repository, "naive_engine", ENGINE, _NORMALIZED, _SCORES)
    _write_step(repository, "naive_argmax", ARGMAX, _SCORES, _CLASS_MAP)
    shutil.copyfile(case.export, repository / "naive_engine" / "1" / "model.onnx")
    (repository / "naive" / "1").mkdir(parents=True)
    (repository / "naive" / "config.pbtxt").write_text(ENSEMBLE)


def _write_step(
    repository: Path,
    name: str,
    code: str,
    source: tuple[str, str, str],
    target: tuple[str, str, str],
) -> None:
    version = repository / name / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(code)
    config = STEP.format(
        name=name,
        input=source[0],
        input_type=source[1],
        input_dims=source[2],
        output=target[0],
        output_type=target[1],
        output_dims=target[2],
    )
    (repository / name / "config.pbtxt").write_text(config)
