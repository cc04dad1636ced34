"""Which of an index's targets a machine is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from plan_repositories import ON_L4, write_plan_repository
from tensorrt_machines import L4, L4_MACHINE
from tritonseg_engines.artefact.machine_target import (
    MachineTarget,
    choose,
    target_of_annotations,
    target_of_repository,
)
from tritonseg_engines.errors import ArtefactError
from tritonseg_engines.tensorrt import Machine

CPU, VNNI = MachineTarget(), MachineTarget(vnni=True)
FOR_L4 = MachineTarget(plan=ON_L4)
FOR_A10 = MachineTarget(plan={**ON_L4, "gpu_name": "NVIDIA A10", "compute_capability": "8.6"})
NEWER = MachineTarget(plan={**ON_L4, "tensorrt_version": "10.17.0.1"})
ANY_AMPERE = MachineTarget(plan={**FOR_A10.plan, "hardware_compatibility": "ampere_plus"})
SAME_CAPABILITY = MachineTarget(
    plan={**ON_L4, "gpu_name": "NVIDIA L40", "hardware_compatibility": "same_compute_capability"}
)
ALL = [CPU, FOR_L4, FOR_A10, NEWER, ANY_AMPERE, SAME_CAPABILITY]
NO_GPU = Machine(no_gpu_reason="there is none", no_tensorrt_reason="nor that")


@pytest.mark.parametrize("target", [*ALL, VNNI, MachineTarget(plan=ON_L4, vnni=True)])
def test_annotations_say_it_all(target: MachineTarget) -> None:
    assert target_of_annotations(target.annotations) == target
    assert all(isinstance(value, str) for value in target.annotations.values())


def test_keys_are_different() -> None:
    assert len({target.key for target in [*ALL, VNNI]}) == len(ALL) + 1
    assert FOR_L4.key == "nvidia-l4-8.9-tensorrt-10.16.1.11"


@pytest.mark.parametrize("name", list(FOR_L4.annotations))
def test_annotations_that_contradict_each_other_are_none(name: str) -> None:
    annotations = FOR_L4.annotations
    assert target_of_annotations({**annotations, name: "another"}) is None
    del annotations[name]
    assert target_of_annotations(annotations) is None


@pytest.mark.parametrize(
    ("machine", "targets", "expected"),
    [
        (NO_GPU, ALL, CPU),
        (NO_GPU, [FOR_L4, CPU], CPU),
        (L4_MACHINE, ALL, FOR_L4),
        (L4_MACHINE, [CPU, FOR_A10, ANY_AMPERE], ANY_AMPERE),
        (L4_MACHINE, [SAME_CAPABILITY, FOR_A10], SAME_CAPABILITY),
        (replace(L4_MACHINE, tensorrt_version="10.17.0"), ALL, NEWER),
        (replace(L4_MACHINE, tensorrt_version=None), [CPU, FOR_L4, FOR_A10], FOR_L4),
    ],
)
def test_a_machine_is_given_what_is_for_it(
    machine: Machine, targets: list[MachineTarget], expected: MachineTarget
) -> None:
    assert choose(targets, machine) == expected
    assert choose(list(reversed(targets)), machine) == expected


@pytest.mark.parametrize(
    ("machine", "targets", "said"),
    [
        (NO_GPU, [FOR_L4, FOR_A10], "no target is for this machine.*there is none"),
        (L4_MACHINE, [FOR_A10, NEWER], "NVIDIA L4"),
        (L4_MACHINE, [CPU], "no target is for this machine"),
        (replace(L4_MACHINE, tensorrt_version="11.0.0"), [FOR_L4], "TensorRT 11.0.0"),
        (replace(L4_MACHINE, tensorrt_version=None), [FOR_L4, NEWER], "more than one target fits"),
        (
            replace(
                L4_MACHINE, gpus=(L4, replace(L4, name="NVIDIA A10", compute_capability="8.6"))
            ),
            [FOR_L4, FOR_A10],
            "NVIDIA A10",
        ),
    ],
)
def test_another_machine_is_refused_with_what_there_is(
    machine: Machine, targets: list[MachineTarget], said: str
) -> None:
    with pytest.raises(ArtefactError, match=said) as refused:
        choose(targets, machine)
    assert all(target.key in str(refused.value) for target in targets)
    assert "\n" not in str(refused.value)


def test_a_target_can_be_named() -> None:
    assert choose(ALL, NO_GPU, FOR_A10.key) == FOR_A10
    with pytest.raises(ArtefactError, match="expected the target h100, the index has cpu, nvidia"):
        choose(ALL, NO_GPU, "h100")


def test_a_repository_says_what_it_needs(for_cpu: Path, for_l4: Path) -> None:
    assert target_of_repository(for_cpu) == CPU
    assert target_of_repository(for_l4) == FOR_L4


def test_models_for_two_gpus_are_no_target(tmp_path: Path) -> None:
    repository = write_plan_repository(tmp_path / "r")
    write_plan_repository(repository, "other", gpu_name="NVIDIA A10", compute_capability="8.6")
    with pytest.raises(ArtefactError, match="no machine serves both"):
        target_of_repository(repository)
    assert target_of_repository(repository, ["tiny"]) == FOR_L4
    assert target_of_repository(repository, ["other"]) == FOR_A10
