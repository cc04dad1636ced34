"""Whether what lies in a repository is what was built, and whether this machine can serve it.

A server's entrypoint asks before Triton starts: Triton itself would say only that a plan cannot be
deserialized. Needs neither ONNX nor a GPU.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tritonseg_engines.checksum import exchanged
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.rebuild import rebuild_command
from tritonseg_engines.repository.configs import folder_names
from tritonseg_engines.repository.files import (
    CONFIG_FILE,
    MANIFEST_FILE,
    VERSION_FOLDER,
    read_config,
)
from tritonseg_engines.repository.leftovers import leftovers
from tritonseg_engines.repository.manifests import (
    manifest_of_ours,
    manifests_of,
    models_without,
    read_manifest,
)
from tritonseg_engines.repository.mask_settings import SETTINGS, change
from tritonseg_engines.target import Runtime
from tritonseg_engines.tensorrt.machine import Machine, inspect_machine
from tritonseg_engines.tensorrt.manifest import check_manifest
from tritonseg_steps import contract
from tritonseg_steps.int8_cpu import INT8_WEIGHTS, Int8Cpu, recorded_int8_cpu, unfit

NO_MANIFEST = f"its {MANIFEST_FILE} is missing, which says what was proven; build it again"


def check_repository(repository: Path, machine: Machine) -> dict[str, list[str]]:
    """Check every model that tritonseg built.

    Args:
        repository: Folder that Triton is to be started on.
        machine: As `inspect_machine` found it.

    Returns:
        By model name one line for everything that is wrong, none if all is well.

    Raises:
        RepositoryError: There is no such folder, or no model of tritonseg's in it.
    """
    if not repository.is_dir():
        raise RepositoryError(f"there is no model repository at {repository}")
    manifests, bare = manifests_of(repository), models_without(repository)
    left = {name: [line] for name, line in leftovers(repository).items()}
    if not manifests and not bare and not left:
        raise RepositoryError(
            f"{repository} holds no model that tritonseg built (no */{MANIFEST_FILE})"
        )
    found = {path.parent.name: list(_problems(path, machine)) for path in manifests}
    return found | {name: [NO_MANIFEST] for name in bare} | left


def built_models(repository: Path) -> tuple[str, ...]:
    """Return the models whose engine is there; the others are layouts without one.

    Raises:
        RepositoryError: A manifest cannot be read.
    """
    manifests = manifests_of(repository)
    return tuple(path.parent.name for path in manifests if read_manifest(path).get("files"))


def changed_since_build(repository: Path, models: Collection[str] = ()) -> list[str]:
    """Return one line for every file, config and version that no build has proven.

    Models that tritonseg did not build are left alone, and so is what was built before its
    checksum, or its settings, were recorded.

    Args:
        repository: Folder that Triton is to be started on.
        models: Only these Triton models, and what they consist of; empty for all.

    Raises:
        RepositoryError: A manifest of a model that tritonseg built cannot be read.
    """
    lines = []
    for name, manifest in _built(repository, models):
        again = f"build it again: {rebuild_command(manifest, repository)}"
        files = manifest.get("files") or {}
        found = [
            *_version_problems(repository, name),
            *_exchanged(repository, files, again),
            *_changed(repository, name, manifest, again),
        ]
        lines += [f"{name}: {line}" for line in found]
    bare = (name for name in models_without(repository) if not models or name in models)
    return lines + [f"{name}: {NO_MANIFEST}" for name in bare]


def unfit_here(repository: Path, models: Collection[str] = ()) -> list[str]:
    """Return one line for every built model that these steps and this machine cannot serve.

    The machine is looked at only where a plan is to be served, which takes a second. Whether its
    TensorRT fits is left to the server where none is found: it may have one of its own.

    Args:
        repository: Folder that Triton is to be started on.
        models: As for `changed_since_build`.

    Raises:
        RepositoryError: A manifest or config of a model that tritonseg built cannot be read.
    """
    lines: list[str] = []
    machine: Machine | None = None
    for name, manifest in _built(repository, models):
        command = rebuild_command(manifest, repository)
        config_path = repository / name / CONFIG_FILE
        found = list(_contract_problems(config_path, f"build it again: {command}"))
        if manifest["provenance"].get("runtime") == Runtime.TENSORRT:
            machine = machine or inspect_machine()
            if not machine.gpus or machine.tensorrt_version is not None:
                found += check_manifest(manifest, machine, command)
        lines += [f"{name}: {line}" for line in found]
    return lines


def _built(repository: Path, models: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and manifest of what tritonseg built, or of what `models` name of it."""
    for path in manifests_of(repository):
        manifest, name = manifest_of_ours(path), path.parent.name
        if manifest is not None and (not models or set(models) & set(folder_names(name))):
            yield name, manifest


def repository_remarks(repository: Path) -> dict[str, list[str]]:
    """Return by model name what is no problem, but should be known of a build."""
    found: dict[str, list[str]] = {}
    for path in manifests_of(repository):
        with contextlib.suppress(RepositoryError):  # a problem, which `check_repository` names
            found[path.parent.name] = list(_remarks(read_manifest(path)))
    return found


def _needed_cpu(manifest: Mapping[str, Any]) -> Int8Cpu | None:
    """Return what the model's int8 weights are made for, None if it has none or runs on a GPU.

    Raises:
        ValueError: What the manifest says there is damaged.
    """
    provenance = manifest["provenance"]
    if provenance.get("runtime") != Runtime.OPENVINO:
        return None
    return recorded_int8_cpu(manifest, provenance.get("precision"))


def _problems(path: Path, machine: Machine) -> Iterator[str]:
    try:
        manifest, repository = read_manifest(path), path.parent.parent
        command = rebuild_command(manifest, repository)
        again = f"build it again: {command}"
        yield from _contract_problems(path.with_name(CONFIG_FILE), again)
        yield from _version_problems(repository, path.parent.name)
        yield from _file_problems(repository, manifest, again)
        yield from _changed(repository, path.parent.name, manifest, again)
        yield from check_manifest(manifest, machine, command)
        yield from _cpu_problems(manifest)
    except RepositoryError as error:
        yield str(error)


def _remarks(manifest: Mapping[str, Any]) -> Iterator[str]:
    gate = manifest.get("gate", {})
    if gate.get("verdict") == "accepted":
        yield f"its gate refused it, and --accept built it: {'; '.join(gate['failures'])}"
    with contextlib.suppress(ValueError):  # a problem, which `check_repository` names
        cpu = _needed_cpu(manifest)
        if cpu is not None:
            yield f"int8 weights: {INT8_WEIGHTS[cpu]}"


def _contract_problems(config_path: Path, again: str) -> Iterator[str]:
    text = read_config(config_path).parameters[contract.CONTRACT_PARAMETER].string_value
    if text != json.dumps(contract.CONTRACT_VERSION):
        yield (
            f"was written for contract {text or 'none'}, the installed tritonseg_steps speaks "
            f'"{contract.CONTRACT_VERSION}"; {again}'
        )


def _cpu_problems(manifest: Mapping[str, Any]) -> Iterator[str]:
    try:
        reason = unfit(_needed_cpu(manifest))
    except ModuleNotFoundError:
        return  # without OpenVINO nothing is served here
    except ValueError as error:
        reason = f"its manifest is damaged: int8_cpu: {error}"
    if reason is not None:
        yield reason


def _version_problems(repository: Path, model: str) -> Iterator[str]:
    """Find versions that no build wrote: Triton serves the highest, whatever the others are."""
    for name in folder_names(model):
        for folder in sorted((repository / name).glob("[1-9]*")):
            if folder.name.isdigit() and folder.name != VERSION_FOLDER and folder.is_dir():
                yield (
                    f"{name}/{folder.name} was not written by the build, and Triton serves the "
                    f"highest version instead of {name}/{VERSION_FOLDER}; remove that folder"
                )


def _file_problems(repository: Path, manifest: Mapping[str, Any], again: str) -> Iterator[str]:
    files = manifest.get("files")
    if files is None:
        yield f"its manifest has no checksums; {again}"
    else:
        yield from _exchanged(repository, files, again)


def _exchanged(repository: Path, files: Mapping[str, str], again: str) -> Iterator[str]:
    for name, digest in files.items():
        problem = exchanged(repository / name, digest)
        if problem is not None:
            yield f"{name} {problem}; {again}"


def _changed(repository: Path, name: str, manifest: Mapping[str, Any], again: str) -> Iterator[str]:
    """Find configs with which other masks come out than those that the build has proven."""
    built_as = manifest.get("model", name)
    if built_as != name:
        yield f"was built as {built_as!r}, and its folder was copied or renamed; {again}"
        return
    for folder, built in manifest.get(SETTINGS, {}).items():
        path = repository / folder / CONFIG_FILE
        if not path.is_file():
            yield f"{folder}/{CONFIG_FILE} is missing; {again}"
            continue
        found = change(built, read_config(path))
        if found is not None:
            yield f"{folder}/{CONFIG_FILE}: {found}; put that back, or {again}"
