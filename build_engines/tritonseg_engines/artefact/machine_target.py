"""What kind of machine a repository was built for, and which of several is for this one."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tritonseg_engines.errors import ArtefactError
from tritonseg_engines.repository.manifests import read_manifest, recorded_versions
from tritonseg_engines.target import Runtime
from tritonseg_engines.tensorrt import PLAN_FILE, Machine, check_manifest
from tritonseg_engines.tensorrt.manifest import ENGINES_KEY
from tritonseg_steps.int8_cpu import Int8Cpu, recorded_int8_cpu, unfit

TARGET: Final = "tritonseg.target"
"""Annotation with a target's key, on an image and on its line in the index."""
_CPU: Final = "cpu"
_VNNI: Final = "tritonseg.vnni"
_GPU: Final = {
    "gpu_name": "tritonseg.gpu",
    "compute_capability": "tritonseg.compute-capability",
    "tensorrt_version": "tritonseg.tensorrt",
    "hardware_compatibility": "tritonseg.hardware-compatibility",
}
"""What a plan's manifest says of its machine, and the annotations for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineTarget:
    """What a repository needs of a machine.

    Attributes:
        plan: What a plan's manifest says of its GPU and TensorRT; None where only CPUs compute.
        vnni: Whether there are int8 weights that only CPUs with VNNI compute rightly.
    """

    plan: Mapping[str, str] | None = None
    vnni: bool = False

    @property
    def key(self) -> str:
        """A name for the command line, as `cpu` or `nvidia-l4-8.9-tensorrt-10.16.1.11`."""
        words = [_CPU]
        if self.plan is not None:
            name = re.sub("[^a-z0-9]+", "-", self.plan["gpu_name"].lower()).strip("-")
            words = [name, self.plan["compute_capability"]]
            words += ["tensorrt", self.plan["tensorrt_version"]]
            level = self.plan["hardware_compatibility"]
            words += [] if level == "none" else [level.replace("_", "-")]
        return "-".join([*words, "vnni"] if self.vnni else words)

    @property
    def annotations(self) -> dict[str, str]:
        """The same for an image."""
        found = {TARGET: self.key}
        if self.plan is not None:
            found |= {annotation: self.plan[key] for key, annotation in _GPU.items()}
        return found | ({_VNNI: "true"} if self.vnni else {})

    def unfit(self, machine: Machine) -> str | None:
        """Return why this machine cannot serve it, or None.

        Where no TensorRT is found that is left to the server, which may have one of its own.
        """
        if self.plan is not None:
            known = machine.tensorrt_version or self.plan["tensorrt_version"]
            document = {
                "provenance": {"runtime": Runtime.TENSORRT.value},
                ENGINES_KEY: {PLAN_FILE: dict(self.plan)},
            }
            found = check_manifest(document, replace(machine, tensorrt_version=known))
            if found:
                return found[0].partition(";")[0]
        return unfit(Int8Cpu.VNNI) if self.vnni else None


def target_of_repository(repository: Path, models: Collection[str] = ()) -> MachineTarget:
    """Return what a repository's models need, all of them together.

    Args:
        repository: Folder that Triton is started on.
        models: Only these; empty for all.

    Raises:
        ArtefactError: They need different GPUs, so that no machine could serve all.
        RepositoryError: A manifest cannot be read.
    """
    found: dict[str, tuple[Mapping[str, str], str]] = {}
    vnni = False
    for version in recorded_versions(repository):
        if models and version.model not in models:
            continue
        manifest = read_manifest(version.manifest_path)
        provenance = manifest["provenance"]
        if provenance.get("runtime") == Runtime.TENSORRT:
            plan = _plan(manifest, version.label)
            found.setdefault(MachineTarget(plan=plan).key, (plan, version.label))
        else:
            vnni |= recorded_int8_cpu(manifest, provenance.get("precision")) is Int8Cpu.VNNI
    if len(found) > 1:
        (one, first), (other, second) = list(found.items())[:2]
        raise ArtefactError(
            f"{repository}: {first[1]} needs {one} and {second[1]} {other}, so no machine serves "
            "both; name the models that go together"
        )
    plan_found = next(iter(found.values()))[0] if found else None
    return MachineTarget(plan=plan_found, vnni=vnni)


def target_of_annotations(annotations: Mapping[str, Any]) -> MachineTarget | None:
    """Return the target that an image's annotations tell; None where they tell none of ours."""
    key = annotations.get(TARGET)
    plan = {name: annotations.get(annotation) for name, annotation in _GPU.items()}
    texts = {name: value for name, value in plan.items() if isinstance(value, str)}
    if texts and len(texts) < len(plan):
        return None
    target = MachineTarget(plan=texts or None, vnni=annotations.get(_VNNI) == "true")
    return target if target.key == key else None


def choose(
    targets: Sequence[MachineTarget], machine: Machine, wanted: str | None = None
) -> MachineTarget:
    """Return the one of several targets that is for a machine.

    A machine with a GPU is never given what runs on its CPU, unless that is named: its masks would
    be right and its owner surprised.

    Args:
        targets: Those of an index.
        machine: As `inspect_machine` found it.
        wanted: A key, whatever the machine is; None for what fits.

    Raises:
        ArtefactError: There is no such target, or none or several fit; the message lists them.
    """
    there = ", ".join(target.key for target in targets) or "nothing"
    if wanted is not None:
        named = [target for target in targets if target.key == wanted]
        if not named:
            raise ArtefactError(f"expected the target {wanted}, the index has {there}")
        return named[0]
    on_gpu = bool(machine.gpus)
    fitting = [
        target
        for target in targets
        if (target.plan is not None) == on_gpu and target.unfit(machine) is None
    ]
    fitting = _closest(fitting, machine)
    if len(fitting) != 1:
        what = "more than one target fits" if fitting else "no target is for"
        raise ArtefactError(
            f"{what} this machine ({_machine_words(machine)}); the index has {there}: build for it "
            "and push to the same tag, or name one with --target"
        )
    return fitting[0]


def _closest(fitting: list[MachineTarget], machine: Machine) -> list[MachineTarget]:
    """Return those that were made for just this GPU, or for VNNI; all where none was."""
    names = {gpu.name for gpu in machine.gpus}
    if not names:
        return [target for target in fitting if target.vnni] or fitting
    plans = [(target, target.plan) for target in fitting if target.plan is not None]
    own = [(target, plan) for target, plan in plans if plan["gpu_name"] in names] or plans
    exact = [pair for pair in own if pair[1]["hardware_compatibility"] == "none"] or own
    return [target for target, _ in exact]


def _plan(manifest: Mapping[str, Any], label: str) -> dict[str, str]:
    plan = manifest.get(ENGINES_KEY, {}).get(PLAN_FILE, {})
    if missing := sorted(set(_GPU) - set(plan)):
        raise ArtefactError(
            f"{label}: its manifest does not say for which GPU its plan is ({', '.join(missing)}); "
            "build it again"
        )
    return {key: str(plan[key]) for key in _GPU}


def _machine_words(machine: Machine) -> str:
    if not machine.gpus:
        cpu = "" if unfit(Int8Cpu.VNNI) is None else ", no VNNI"
        return f"no GPU: {machine.no_gpu_reason}{cpu}"
    gpus = ", ".join(
        dict.fromkeys(f"{gpu.name} ({gpu.compute_capability})" for gpu in machine.gpus)
    )
    return f"{gpus}, TensorRT {machine.tensorrt_version or 'not found'}"
