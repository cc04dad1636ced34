"""The argmax step on a GPU, with its kernels compiled for the CPU: its answers are the CPU's."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from cuda_on_host import HostDevice, compile_for_host
from tiny_models import CLASSES, SIZES, tiny_spec
from tritonseg_engines.repository import Deployment, Engine, Provenance, Serving
from tritonseg_engines.repository.configs import model_configs
from tritonseg_engines.target import ServingLayout
from tritonseg_steps.model_config import ModelConfig
from tritonseg_steps.step_request import StepRequest
from tritonseg_steps.upsampling import Upsampling

GRID_HW = (16, 24)


@pytest.fixture
def argmax_step(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`tritonseg_steps.argmax_step`, whose import of Triton's own module exists inside Triton."""
    own = ("tritonseg_steps.argmax_step", "tritonseg_steps.step", "tritonseg_steps.step_response")
    monkeypatch.setitem(
        sys.modules, "triton_python_backend_utils", ModuleType("triton_python_backend_utils")
    )
    for name in own:
        monkeypatch.delitem(sys.modules, name, raising=False)
    import tritonseg_steps.argmax_step as found

    yield found
    for name in own:
        monkeypatch.delitem(sys.modules, name, raising=False)


def config(kind: str) -> ModelConfig:
    deployment = Deployment(
        spec=tiny_spec(),
        engine=Engine(
            file="model.plan",
            sizes=SIZES,
            output_dims=(CLASSES, *GRID_HW),
            upsampling=Upsampling(),
        ),
        provenance=Provenance(
            onnx_sha256="0" * 64, precision="fp32", runtime="tensorrt", tritonseg_version="1"
        ),
        layout=ServingLayout.ENSEMBLE,
        serving=Serving(argmax_on_gpu=kind == "GPU"),
    )
    document = MessageToDict(
        model_configs(deployment)["tiny_argmax"], preserving_proto_field_name=True
    )
    return ModelConfig(
        {
            "model_config": json.dumps(document),
            "model_version": "1",
            "model_repository": "models/tiny_argmax",
            "model_instance_kind": kind,
            "model_instance_device_id": "0",
        }
    )


def test_answers_of_a_batch_are_the_cpus(
    argmax_step: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = compile_for_host(tmp_path)
    opened: list[int] = []

    def device(index: int) -> HostDevice:
        opened.append(index)
        return HostDevice(library)

    monkeypatch.setattr(argmax_step, "CupyDevice", device)
    request = StepRequest(
        tensors={
            "SCORES": np.random.default_rng(0)
            .standard_normal((2, CLASSES, *GRID_HW))
            .astype(np.float32),
            "IMAGE_SIZE": np.array([[64, 96], [64, 96]], np.int32),
        },
        parameters={},
        named_outputs=frozenset({"CLASS_MAP", "CONFIDENCE", "CLASS_PIXELS"}),
    )
    answers = {}
    for kind in ("CPU", "GPU"):
        step = argmax_step.ArgmaxStep()
        step.prepare(config(kind))
        (answers[kind],) = step.run([request])
    assert opened == [0]
    assert answers["GPU"].keys() == answers["CPU"].keys() >= {"CLASS_MAP", "CLASS_PIXELS"}
    for name, expected in answers["CPU"].items():
        np.testing.assert_array_equal(answers["GPU"][name], expected)
    assert len(np.unique(answers["GPU"]["CLASS_MAP"][1])) == CLASSES
