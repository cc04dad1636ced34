"""What is written down about a plan, and whether a machine can run what is written there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from tritonseg_engines.tensorrt.machine import Gpu, Machine

if TYPE_CHECKING:
    from tritonseg_engines.tensorrt.plan import PlanReport

ENGINES_KEY: Final = "engines"
"""In a model's manifest: one document of `plan_manifest` for every plan, by its file name."""
PLAN_FILE: Final = "model.plan"
_NEEDED: Final = {
    "tensorrt_version",
    "gpu_name",
    "compute_capability",
    "hardware_compatibility",
}
_AMPERE: Final = (8, 0)


def plan_manifest(report: PlanReport) -> dict[str, Any]:
    """Return what has to be known about a plan later on, as a JSON document."""
    return {
        "runtime": "tensorrt",
        "precision": report.precision,
        "onnx_sha256": report.onnx_sha256,
        "plan_sha256": report.plan_sha256,
        "tactics_sha256": report.tactics_sha256,
        "tensorrt_version": report.tensorrt_version,
        "cuda_version": report.gpu.cuda_version,
        "driver_version": report.gpu.driver_version,
        "gpu_name": report.gpu.name,
        "compute_capability": report.gpu.compute_capability,
        "hardware_compatibility": report.options.hardware_compatibility,
        "profiles": {name: asdict(shapes) for name, shapes in report.profile.items()},
        "pinned_layers": list(report.pinned_layers),
    }


def check_manifest(
    manifest: Mapping[str, Any], machine: Machine, rebuild: str = "tritonseg build"
) -> list[str]:
    """Return what must be built again before this machine can serve the model.

    Args:
        manifest: A model's `manifest.json`.
        machine: As `inspect_machine` found it.
        rebuild: The command that builds the model again.

    Returns:
        One line for each plan that does not fit; none if all is well or the model needs no GPU.
    """
    provenance = manifest.get("provenance", {})
    if provenance.get("runtime") != "tensorrt":
        return []
    engines = manifest.get(ENGINES_KEY, {})
    if not engines:
        return [f"no plan has been built yet; build it here: {rebuild}"]
    if not machine.gpus:
        return [f"needs a GPU, and this machine has none: {machine.no_gpu_reason}"]
    if machine.tensorrt_version is None:
        return [f"needs TensorRT, and this machine has none: {machine.no_tensorrt_reason}"]
    different = {(gpu.name, gpu.compute_capability): gpu for gpu in machine.gpus}.values()
    reasons = (_reason(engines, gpu, machine.tensorrt_version) for gpu in different)
    return [f"{reason}; build it again here: {rebuild}" for reason in reasons if reason is not None]


def _reason(
    engines: Mapping[str, Mapping[str, Any]], gpu: Gpu, tensorrt_version: str
) -> str | None:
    """Return why the plan does not fit this GPU, or None."""
    if PLAN_FILE not in engines:
        return f"has {', '.join(engines)} and no {PLAN_FILE}"
    plan = engines[PLAN_FILE]
    if missing := sorted(_NEEDED - set(plan)):
        return f"the manifest of {PLAN_FILE} lacks {', '.join(missing)}"
    if not _same_version(plan["tensorrt_version"], tensorrt_version):
        return (
            f"{PLAN_FILE} was built with TensorRT {plan['tensorrt_version']}, "
            f"this machine has {tensorrt_version}"
        )
    if not _gpu_fits(plan, gpu):
        return (
            f"{PLAN_FILE} was built for {plan['gpu_name']} (compute capability "
            f"{plan['compute_capability']}), this machine has {gpu.name} "
            f"({gpu.compute_capability})"
        )
    return None


def _same_version(built: str, found: str) -> bool:
    # The bare library states three parts, the Python package four.
    parts = zip(_numbers(built), _numbers(found), strict=False)
    return all(one == other for one, other in parts)


def _gpu_fits(plan: Mapping[str, Any], gpu: Gpu) -> bool:
    level = plan["hardware_compatibility"]
    if level == "ampere_plus":
        return _numbers(gpu.compute_capability) >= _AMPERE
    same_capability = bool(plan["compute_capability"] == gpu.compute_capability)
    # TensorRT loads a plan of another model with the same capability, and warns that it may be
    # slow or fail; the level "same_compute_capability" is the promise that it does not.
    return same_capability and (level == "same_compute_capability" or plan["gpu_name"] == gpu.name)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
