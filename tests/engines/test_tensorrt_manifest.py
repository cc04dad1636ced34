"""Which plans a machine can run, and what it is told to build again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tritonseg_engines.tensorrt import Gpu, Machine, check_manifest

L4 = Gpu(
    name="NVIDIA L4",
    compute_capability="8.9",
    memory_bytes=24 * 2**30,
    driver_version="570.86.15",
    cuda_version="12.8",
)
RTX_4090 = replace(L4, name="NVIDIA GeForce RTX 4090")
A10 = replace(L4, name="NVIDIA A10", compute_capability="8.6")
T4 = replace(L4, name="Tesla T4", compute_capability="7.5")
ON_L4 = {
    "tensorrt_version": "10.16.1.11",
    "gpu_name": "NVIDIA L4",
    "compute_capability": "8.9",
    "hardware_compatibility": "none",
}


def manifest(**engines: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": "fastseg-small",
        "provenance": {"runtime": "tensorrt", "precision": "fp16"},
        "engines": {name.replace("__", "."): engine for name, engine in engines.items()},
    }


def machine(*gpus: Gpu, tensorrt: str | None = "10.16.1.11") -> Machine:
    return Machine(gpus=gpus, tensorrt_version=tensorrt)


FITS = {
    "the same machine": (ON_L4, machine(L4)),
    "the library states three parts": (ON_L4, machine(L4, tensorrt="10.16.1")),
    "same capability, as promised": (
        {**ON_L4, "hardware_compatibility": "same_compute_capability"},
        machine(RTX_4090),
    ),
    "Ampere and newer": ({**ON_L4, "hardware_compatibility": "ampere_plus"}, machine(A10)),
}
DOES_NOT_FIT = {
    "newer TensorRT": (ON_L4, machine(L4, tensorrt="10.16.2.1"), "TensorRT 10.16.1.11, this"),
    "older TensorRT": (ON_L4, machine(L4, tensorrt="10.3.0"), "this machine has 10.3.0"),
    "other capability": (ON_L4, machine(A10), "NVIDIA L4 (compute capability 8.9)"),
    "another model of the capability": (ON_L4, machine(RTX_4090), "NVIDIA GeForce RTX 4090"),
    "other capability, promised for one": (
        {**ON_L4, "hardware_compatibility": "same_compute_capability"},
        machine(A10),
        "NVIDIA A10 (8.6)",
    ),
    "older than Ampere": (
        {**ON_L4, "hardware_compatibility": "ampere_plus"},
        machine(T4),
        "Tesla T4 (7.5)",
    ),
}


@pytest.mark.parametrize(("plan", "on"), FITS.values(), ids=FITS)
def test_a_plan_that_fits_needs_nothing(plan: dict[str, Any], on: Machine) -> None:
    assert check_manifest(manifest(model__plan=plan), on) == []


@pytest.mark.parametrize(("plan", "on", "reason"), DOES_NOT_FIT.values(), ids=DOES_NOT_FIT)
def test_a_plan_that_does_not_fit_says_what_to_build(
    plan: dict[str, Any], on: Machine, reason: str
) -> None:
    (line,) = check_manifest(manifest(model__plan=plan), on, "tritonseg build this")
    assert reason in line
    assert line.endswith("; build it again here: tritonseg build this")
    assert "\n" not in line


def test_a_machine_without_a_gpu_or_tensorrt_is_told_so() -> None:
    plan = manifest(model__plan=ON_L4)
    bare = Machine(no_gpu_reason="no driver", no_tensorrt_reason="not found")
    assert check_manifest(plan, bare) == ["needs a GPU, and this machine has none: no driver"]
    bare = Machine(gpus=(L4,), no_tensorrt_reason="not found")
    assert "needs TensorRT" in check_manifest(plan, bare)[0]


def test_a_model_for_the_cpu_needs_no_gpu() -> None:
    assert check_manifest({"provenance": {"runtime": "openvino"}}, Machine()) == []


def test_what_was_not_built_is_to_be_built() -> None:
    (line,) = check_manifest(manifest(), machine(L4), "tritonseg build this")
    assert line == "no plan has been built yet; build it here: tritonseg build this"


def test_a_manifest_of_another_kind_is_to_be_replaced() -> None:
    (line,) = check_manifest(manifest(model__plan={"gpu_name": "NVIDIA L4"}), machine(L4))
    assert "lacks compute_capability, hardware_compatibility, tensorrt_version" in line


def test_every_kind_of_gpu_is_told_once() -> None:
    assert len(check_manifest(manifest(model__plan=ON_L4), machine(A10, A10, L4, T4))) == 2
