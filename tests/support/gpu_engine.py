"""An engine in TensorRT's place for the ensemble on a GPU: a network of NumPy's, in any Triton.

Where no plan can be built, the argmax step on the GPU runs in a real Triton all the same. What it
is not: TensorRT leaves its scores in the GPU's memory, from where Triton brings them to the step.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.repository import Deployment, Engine, Provenance, Serving, write_model
from tritonseg_engines.repository.configs import model_configs
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.target import ServingLayout
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.upsampling import Upsampling

STRIDE: Final = 4
MODEL: Final = f"""
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.weights = np.load(
            args["model_repository"] + "/" + args["model_version"] + "/weights.npy"
        )

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        batch = pb_utils.get_input_tensor_by_name(request, "NORMALIZED").as_numpy()
        red, green, blue = np.moveaxis(batch[:, :, None, ::{STRIDE}, ::{STRIDE}], 1, 0)
        by_red, by_green, by_blue = self.weights.T[:, None, :, None, None]
        scores = by_red * red + by_green * green + by_blue * blue
        return pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", scores)])
"""


def network_weights(classes: int) -> NDArray[np.float32]:
    """Return what the network multiplies by, (classes, 3)."""
    return np.random.default_rng(0).standard_normal((classes, 3)).astype(np.float32)


def scores_of(batch_nchw: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    """Return what the network gives, (N, classes, h, w), computed here."""
    sampled = batch_nchw[:, :, ::STRIDE, ::STRIDE]
    red, green, blue = (
        network_weights(classes)[None, :, channel, None, None] for channel in range(3)
    )
    scores: NDArray[np.float32] = (
        red * sampled[:, :1] + green * sampled[:, 1:2] + blue * sampled[:, 2:]
    )
    return scores


def write_gpu_ensemble(repository: Path, spec: ModelSpec, size_hw: tuple[int, int]) -> None:
    """Write a model of a specification with argmax on the GPU."""
    plan = repository.with_name("built.plan")
    plan.parent.mkdir(parents=True, exist_ok=True)
    plan.write_bytes(b"no plan")
    height, width = size_hw
    classes = len(spec.classes)
    deployment = Deployment(
        spec=spec,
        engine=Engine(
            file="model.plan",
            sizes=NetworkSizes(height=height, width=width),
            output_dims=(classes, height // STRIDE, width // STRIDE),
            upsampling=Upsampling(),
        ),
        provenance=Provenance(
            onnx_sha256="0" * 64, precision="fp32", runtime="tensorrt", tritonseg_version="1"
        ),
        layout=ServingLayout.ENSEMBLE,
        serving=Serving(max_batch_size=4, step_instances=1, argmax_on_gpu=True),
    )
    write_model(
        repository, deployment, plan, {"provenance": {"runtime": "tensorrt", "precision": "fp32"}}
    )
    plan.unlink()
    _take_back(repository / spec.name / "1" / "manifest.json")
    config = model_configs(deployment)[deployment.engine_model]
    config.platform, config.default_model_filename, config.backend = "", "", "python"
    folder = repository / deployment.engine_model
    (folder / "config.pbtxt").write_text(str(config), encoding="utf-8")
    (folder / "1" / "model.plan").unlink()
    (folder / "1" / "model.py").write_text(MODEL, encoding="utf-8")
    np.save(folder / "1" / "weights.npy", network_weights(classes))


def _take_back(manifest_path: Path) -> None:
    """Leave what says that a plan passed its gate out of the manifest; a server asks for no more.

    As the manifests of the first builds, which recorded neither checksums nor settings.
    """
    provenance = {"runtime": "onnxruntime", "precision": "fp32"}
    recorded = json.loads(manifest_path.read_text(encoding="utf-8"))
    kept = {"model": recorded["model"], "provenance": provenance}
    manifest_path.write_text(json.dumps(kept), encoding="utf-8")
