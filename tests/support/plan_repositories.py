"""Repositories for GPUs, with everything that a build writes but a plan that runs: none is here."""

from __future__ import annotations

from pathlib import Path

from tiny_models import SIZES, tiny_spec
from tritonseg_engines.repository import Deployment, Engine, Provenance, write_model
from tritonseg_engines.target import ServingLayout
from tritonseg_engines.tensorrt import ENGINES_KEY, PLAN_FILE
from tritonseg_steps.contract import CONTRACT_VERSION
from tritonseg_steps.upsampling import Upsampling

ON_L4 = {
    "tensorrt_version": "10.16.1.11",
    "gpu_name": "NVIDIA L4",
    "compute_capability": "8.9",
    "hardware_compatibility": "none",
}
"""What a plan's manifest says of its machine."""


def write_plan_repository(repository: Path, name: str = "tiny", **machine: str) -> Path:
    """Write a model of four folders whose plan is for an L4, or for what `machine` changes."""
    plan = {**ON_L4, **machine}
    deployment = Deployment(
        spec=tiny_spec(name=name),
        engine=Engine(
            file=PLAN_FILE, sizes=SIZES, output_dims=(5, 16, 24), upsampling=Upsampling()
        ),
        provenance=Provenance(
            onnx_sha256="0" * 64, precision="fp16", runtime="tensorrt", tritonseg_version="1"
        ),
        layout=ServingLayout.ENSEMBLE,
    )
    built = repository.with_suffix(".plan")
    built.parent.mkdir(parents=True, exist_ok=True)
    built.write_bytes(b"a plan for " + plan["gpu_name"].encode())
    provenance = {"runtime": "tensorrt", "precision": "fp16", "onnx_sha256": "0" * 64}
    write_model(
        repository,
        deployment,
        built,
        {"provenance": provenance, ENGINES_KEY: {PLAN_FILE: plan}},
        receipt={
            "precision": "fp16",
            "runtime": "tensorrt",
            "made_with": {"contract": CONTRACT_VERSION, "tensorrt": plan["tensorrt_version"]},
            "made_on": {"gpu": plan["gpu_name"]},
            "canaries": [],
        },
    )
    built.unlink()
    return repository
