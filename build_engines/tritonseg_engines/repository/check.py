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
from tritonseg_engines.repository.files import CONFIG_FILE, MANIFEST_FILE, read_config
from tritonseg_engines.repository.leftovers import leftovers
from tritonseg_engines.repository.manifests import (
    RecordedVersion,
    manifest_of_ours,
    models_without,
    read_manifest,
    recorded_versions,
)
from tritonseg_engines.repository.mask_settings import SETTINGS, change
from tritonseg_engines.repository.served_versions import (
    is_left_out,
    moved_problems,
    version_problems,
)
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
    versions, bare = recorded_versions(repository), models_without(repository)
    left = {name: [line] for name, line in leftovers(repository).items()}
    if not versions and not bare and not left:
        raise RepositoryError(
            f"{repository} holds no model that tritonseg built (no */*/{MANIFEST_FILE})"
        )
    found = {one.label: list(_problems(one, machine)) for one in versions}
    return found | {name: [_no_manifest(repository / name)] for name in bare} | left


def built_models(repository: Path) -> tuple[str, ...]:
    """Return the models whose engine is there; the others are layouts without one.

    Raises:
        RepositoryError: A manifest cannot be read.
    """
    built = (
        one.model
        for one in recorded_versions(repository)
        if read_manifest(one.manifest_path).get("files")
    )
    return tuple(dict.fromkeys(built))


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
    lines = [f"{one.label}: {line}" for one, line in changes_since_build(repository, models)]
    bare = (name for name in models_without(repository) if not models or name in models)
    return lines + [f"{name}: {_no_manifest(repository / name)}" for name in bare]


def changes_since_build(
    repository: Path, models: Collection[str] = ()
) -> Iterator[tuple[RecordedVersion, str]]:
    """Yield every such line with the version that it is about; as `changed_since_build`."""
    for version, manifest in _built(repository, models):
        again = f"build it again: {rebuild_command(manifest, repository)}"
        files = manifest.get("files") or {}
        moved = list(moved_problems(version, manifest, again))
        found = [*moved, *version_problems(version)]
        if not moved:
            found += [*_exchanged(repository, files, again), *_changed(version, manifest, again)]
        yield from ((version, line) for line in found)


def contract_changes(
    repository: Path, models: Collection[str] = ()
) -> Iterator[tuple[RecordedVersion, str]]:
    """Yield a line for every version that these steps cannot serve; as `unfit_here`."""
    for version, manifest in _built(repository, models):
        again = f"build it again: {rebuild_command(manifest, repository)}"
        for line in _contract_problems(version.config_path, again):
            yield version, line


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
    lines = [f"{one.label}: {line}" for one, line in contract_changes(repository, models)]
    machine: Machine | None = None
    for version, manifest in _built(repository, models):
        if manifest["provenance"].get("runtime") == Runtime.TENSORRT:
            machine = machine or inspect_machine()
            if not machine.gpus or machine.tensorrt_version is not None:
                found = check_manifest(manifest, machine, rebuild_command(manifest, repository))
                lines += [f"{version.label}: {line}" for line in found]
    return lines


def _no_manifest(model: Path) -> str:
    """Say what is to be done for a model without a manifest in a version."""
    with contextlib.suppress(RepositoryError):
        earlier = read_manifest(model / MANIFEST_FILE)
        command = rebuild_command(earlier, model.parent)
        return f"was built by an earlier tritonseg; build it again: {command}"
    return NO_MANIFEST


def _built(
    repository: Path, models: Collection[str]
) -> Iterator[tuple[RecordedVersion, dict[str, Any]]]:
    """Yield every version that tritonseg built, or of what `models` name, with its manifest."""
    for version in recorded_versions(repository):
        manifest, names = manifest_of_ours(version), folder_names(version.model)
        if manifest is not None and (not models or set(models) & set(names)):
            yield version, manifest


def repository_remarks(repository: Path) -> dict[str, list[str]]:
    """Return by model name what is no problem, but should be known of a build."""
    found: dict[str, list[str]] = {}
    for version in recorded_versions(repository):
        with contextlib.suppress(RepositoryError):  # a problem, which `check_repository` names
            found[version.label] = list(_remarks(read_manifest(version.manifest_path)))
            if is_left_out(version.folder.parent, version.version):
                found[version.label].append("is not served: version_policy leaves it out")
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


def _problems(version: RecordedVersion, machine: Machine) -> Iterator[str]:
    try:
        manifest, repository = read_manifest(version.manifest_path), version.repository
        command = rebuild_command(manifest, repository)
        again = f"build it again: {command}"
        yield from _contract_problems(version.config_path, again)
        yield from version_problems(version)
        if moved := list(moved_problems(version, manifest, again)):
            yield from moved
        else:
            yield from _file_problems(repository, manifest, again)
            yield from _changed(version, manifest, again)
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


def _changed(version: RecordedVersion, manifest: Mapping[str, Any], again: str) -> Iterator[str]:
    """Find configs with which other masks come out than those that the build has proven."""
    for folder, built in manifest.get(SETTINGS, {}).items():
        path = version.repository / folder / CONFIG_FILE
        if not path.is_file():
            yield f"{folder}/{CONFIG_FILE} is missing; {again}"
            continue
        found = change(built, read_config(path), version.version)
        if found is not None:
            # A build of one version would be refused for the sake of the others.
            cure = f", or {again}" if version.siblings == 1 else ""
            yield f"{folder}/{CONFIG_FILE}: {found}; put that back{cure}"
