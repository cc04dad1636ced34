"""What is written down about a plan, and whether a machine can run what is written there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tritonseg_engines.rebuild import rebuild_command
from tritonseg_engines.tensorrt.machine import Gpu, Machine

if TYPE_CHECKING:
    from tritonseg_engines.tensorrt.plan import PlanReport

ENGINES_KEY: Final = "engines"
"""In a model's manifest: one document of `plan_manifest` for every plan, by its file name."""
PLAN_FILE: Final = "model.plan"
_NEEDED: Final = {
    "tensorrt_version",
    "version_compatible",
    "gpu_name",
    "compute_capability",
    "hardware_compatibility",
}
_AMPERE: Final = (8, 0)
_READABLE_MAJORS: Final = {(8, 10), (10, 11)}
"""Source: TensorRT 11.4 support matrix, version compatibility."""


def plan_file_name(compute_capability: str | None = None) -> str:
    """Return the name of a plan: the default one, or that of a fleet's GPU type.

    Args:
        compute_capability: E.g. "8.6".

    Returns:
        "model.plan", or e.g. "model_sm86.plan".
    """
    if compute_capability is None:
        return PLAN_FILE
    return f"model_sm{compute_capability.replace('.', '')}.plan"


def plan_manifest(report: PlanReport) -> dict[str, Any]:
    """Return what has to be known about a plan later on, as a JSON document."""
    return {
        "runtime": "tensorrt",
        "precision": report.precision,
        "onnx_sha256": report.onnx_sha256,
        "plan_sha256": report.plan_sha256,
        "tensorrt_version": report.tensorrt_version,
        "cuda_version": report.gpu.cuda_version,
        "driver_version": report.gpu.driver_version,
        "gpu_name": report.gpu.name,
        "compute_capability": report.gpu.compute_capability,
        "hardware_compatibility": report.options.hardware_compatibility,
        "version_compatible": report.options.version_compatible,
        "profiles": {name: asdict(shapes) for name, shapes in report.profile.items()},
        "pinned_layers": list(report.pinned_layers),
    }


def check_manifest(
    manifest: Mapping[str, Any], machine: Machine, repository: Path | None = None
) -> list[str]:
    """Return what must be built again before this machine can serve the model.

    Args:
        manifest: A model's `manifest.json`.
        machine: As `inspect_machine` found it.
        repository: Where the model lies, for the command that builds it again.

    Returns:
        One line for each plan that does not fit; none if all is well or the model needs no GPU.
    """
    provenance = manifest.get("provenance", {})
    if provenance.get("runtime") != "tensorrt":
        return []
    command = rebuild_command(manifest, repository)
    engines = manifest.get(ENGINES_KEY, {})
    if not engines:
        return [f"no plan has been built yet; build it here: {command}"]
    if not machine.gpus:
        return [f"needs a GPU, and this machine has none: {machine.no_gpu_reason}"]
    if machine.tensorrt_version is None:
        return [f"needs TensorRT, and this machine has none: {machine.no_tensorrt_reason}"]
    different = {(gpu.name, gpu.compute_capability): gpu for gpu in machine.gpus}.values()
    reasons = (_reason(engines, gpu, machine.tensorrt_version) for gpu in different)
    return [f"{reason}; build it again here: {command}" for reason in reasons if reason is not None]


def _reason(
    engines: Mapping[str, Mapping[str, Any]], gpu: Gpu, tensorrt_version: str
) -> str | None:
    """Return why the plan that Triton takes on this GPU does not fit, or None."""
    own = plan_file_name(gpu.compute_capability)
    file = own if own in engines else PLAN_FILE
    if file not in engines:
        return f"has plans for {', '.join(engines)}, none for {gpu.name} ({own})"
    plan = engines[file]
    if missing := sorted(_NEEDED - set(plan)):
        return f"the manifest of {file} lacks {', '.join(missing)}"
    if not _version_fits(plan, tensorrt_version):
        return (
            f"{file} was built with TensorRT {plan['tensorrt_version']}, "
            f"this machine has {tensorrt_version}"
        )
    if not _gpu_fits(plan, gpu):
        return (
            f"{file} was built for {plan['gpu_name']} (compute capability "
            f"{plan['compute_capability']}), this machine has {gpu.name} "
            f"({gpu.compute_capability})"
        )
    return None


def _version_fits(plan: Mapping[str, Any], found: str) -> bool:
    built_parts, found_parts = _numbers(plan["tensorrt_version"]), _numbers(found)
    # The bare library states three parts, the Python package four.
    if all(one == other for one, other in zip(built_parts, found_parts, strict=False)):
        return True
    if not plan["version_compatible"] or found_parts < built_parts:
        return False
    majors = (built_parts[0], found_parts[0])
    return majors[0] == majors[1] or majors in _READABLE_MAJORS


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
