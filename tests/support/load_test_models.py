"""Models for a real Triton whose time for a picture is known, because they sleep."""

from __future__ import annotations

from pathlib import Path

SERVICE_MS = 20.0
CAPACITY_PER_S = 1000 / SERVICE_MS
FREEZE_EVERY = 40
FREEZE_S = 0.6
SIZE_HW = (6, 8)

CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 1
input [{{ name: "IMAGE" data_type: TYPE_UINT8 dims: [-1, -1, 3] }}]
output [{{ name: "CLASS_MAP" data_type: TYPE_UINT8 dims: [-1, -1] }}]
instance_group [{{ kind: KIND_CPU count: 1 }}]
"""
MODEL = """
import time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.count = 0

    def execute(self, requests):
        responses = []
        for request in requests:
            self.count += 1
            if {loses} and self.count == {loses}:
                self.lost = request.get_response_sender()  # and never an answer by it
                responses.append(None)
                continue
            if {refuses} and self.count % 2:
                error = pb_utils.TritonError("try again later", pb_utils.TritonError.UNAVAILABLE)
                responses.append(pb_utils.InferenceResponse(error=error))
                continue
            time.sleep({seconds})
            image = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy()
            mask = image[{crop}, 0].copy()
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("CLASS_MAP", mask)]))
        return responses
"""
WHOLE = "..."
SERVICE = str(SERVICE_MS / 1000)
LOST = 10
"""The request that a model of that kind never answers."""
MODELS = {
    "slow": (SERVICE, WHOLE, False),
    "refusing": (SERVICE, WHOLE, True),
    "losing": (SERVICE, WHOLE, False),
    "freezing": (
        f"{FREEZE_S} if self.count % {FREEZE_EVERY} == 0 else {SERVICE}", WHOLE, False,
    ),
    "cropping": ("0", ":, 1:, :", False),
    "cropping_later": ("0", ":, (self.count > 3):, :", False),
}  # fmt: skip


def write_models(repository: Path) -> Path:
    for name, (seconds, crop, refuses) in MODELS.items():
        version = repository / name / "1"
        version.mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text(CONFIG.format(name=name))
        loses = LOST if name == "losing" else 0
        (version / "model.py").write_text(
            MODEL.format(seconds=seconds, crop=crop, refuses=refuses, loses=loses)
        )
    return repository
