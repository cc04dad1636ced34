"""Versions of a model side by side: a folder and a manifest each, and one config for all.

Triton has one config.pbtxt for all versions of a model. What clients and steps read there of
another version than the highest stands under a key of its own, see `contract.parameters_of`; all
else, as the tensors, must be the same. The steps of an ensemble are those of its newest version
whatever version of it is asked for, so an ensemble has one version only.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.check import changes_since_build, contract_changes
from tritonseg_engines.repository.files import (
    CONFIG_FILE,
    FIRST_VERSION,
    read_config,
    version_folders,
)
from tritonseg_engines.repository.manifests import (
    RecordedVersion,
    read_manifest,
    versions_of,
)
from tritonseg_engines.repository.mask_settings import PARAMETERS, SETTINGS, change
from tritonseg_engines.repository.messages import texts_of
from tritonseg_engines.repository.served_versions import served_versions
from tritonseg_engines.target import ServingLayout
from tritonseg_steps import contract

BY_VERSION: Final = (*PARAMETERS, contract.MODEL_PARAMETER)
"""What a build publishes of the version it builds, for clients and steps."""
NOTHING: Final = "null"
"""A document for what one version has and another has not."""
OTHER_NAME: Final = "give the specification another name, and so a model of its own"


def kept_versions(
    repository: Path, name: str, layout: ServingLayout, version: str | None
) -> dict[str, dict[str, Any]]:
    """Return the manifests of the versions that stay where one is built, by version.

    Args:
        repository: Folder that Triton is started on; need not be there.
        name: The model to be built.
        layout: The layout that it will have.
        version: The version to be built; None for a model with no other.

    Raises:
        RepositoryError: There are others and none was named, or they cannot stand beside it.
            Nothing was changed.
    """
    present = versions_of(repository / name)
    others = [one for one in present if one.version != (version or FIRST_VERSION)]
    unproven = version_folders(repository / name).keys() - {one.version for one in present}
    if version is not None and unproven - {version}:
        lost = min(unproven - {version}, key=int)
        raise RepositoryError(
            f"{repository / name / lost} has no manifest of a build, which says what was proven; "
            f"build that version again, with --version {lost}, or move it out of there"
        )
    if version is None:
        if others:
            raise RepositoryError(
                f"{repository}: {name} has the versions {_listed(present)}; say with --version "
                "which of them to replace or which to add, or remove its folder"
            )
        return {}
    if layout is ServingLayout.ENSEMBLE:
        raise RepositoryError(
            f"{name}: expected the layout single or fused for --version {version}, got {layout}: "
            f"whatever version of an ensemble is asked for, its steps are the newest; {OTHER_NAME}"
        )
    kept = {one.version: read_manifest(one.manifest_path) for one in others}
    for other, manifest in kept.items():
        if manifest.get("layout") != layout:
            raise RepositoryError(
                f"{repository}: version {other} of {name} has the layout {manifest.get('layout')}, "
                f"and versions share their config; build it as {layout} first, without --version, "
                "or give the specification another name"
            )
    if kept:
        _refuse_changed(repository, name, kept)
    return kept


def shared_config(
    alone: pb.ModelConfig,
    version: str,
    settings: Mapping[str, Any],
    repository: Path,
    kept: Mapping[str, Mapping[str, Any]],
) -> pb.ModelConfig:
    """Return the config of a version and of those that stay beside it; no other is served.

    As soon as there are others it is the present one, with what an operator tuned, and that is also
    which versions are served, where it is not all of them.

    Args:
        alone: As the version would have it alone; the result where it is.
        version: The version.
        settings: What decides its masks in that, as `mask_settings` returned it.
        repository: Where the present config is.
        kept: As `kept_versions` returned it.

    Raises:
        RepositoryError: The versions cannot have one config.
    """
    if not kept:
        alone.version_policy.specific.versions.append(int(version))
        return alone
    config = read_config(repository / alone.name / CONFIG_FILE)
    versions = sorted((version, *kept), key=int)
    _refuse_other_tensors(alone, config)
    texts = {other: texts_of(config, other) for other in kept} | {version: texts_of(alone, version)}
    _set_texts(config, texts, highest=versions[-1])
    present = {one.version for one in versions_of(repository / config.name)}
    if present <= served_versions(config, present):  # else an operator has left some out
        config.version_policy.specific.versions[:] = map(int, versions)
    for one, built in {version: settings, **_settings_of(kept, alone.name)}.items():
        difference = change(built, config, one)
        if difference is not None:
            raise _cannot_share(config.name, f"version {one}: {difference}")
    return config


def copy_versions(model: Path, versions: Mapping[str, Any], target: Path) -> None:
    """Copy version folders of a model into another folder of its."""
    for version in versions:
        shutil.copytree(
            model / version,
            target / version,
            copy_function=_link,
            ignore=shutil.ignore_patterns("__pycache__"),
        )


def _settings_of(
    manifests: Mapping[str, Mapping[str, Any]], name: str
) -> dict[str, Mapping[str, Any]]:
    return {
        version: manifest.get(SETTINGS, {}).get(name, {}) for version, manifest in manifests.items()
    }


def _set_texts(
    config: pb.ModelConfig, texts: Mapping[str, Mapping[str, str]], *, highest: str
) -> None:
    """Write what is published of every version; that of the highest stands under the plain keys."""
    for key in [key for key in config.parameters if contract.VERSION_MARK in key]:
        del config.parameters[key]
    for key in BY_VERSION:
        documents = {version: own.get(key, NOTHING) for version, own in texts.items()}
        for version, document in documents.items():
            if version == highest:
                config.parameters[key].string_value = document
            elif document != documents[highest]:
                own_key = f"{key}{contract.VERSION_MARK}{version}"
                config.parameters[own_key].string_value = document


def _refuse_changed(repository: Path, name: str, kept: Collection[str]) -> None:
    """Refuse to carry over what is not as its build has proven it, or is of other steps."""
    found = (*changes_since_build(repository, [name]), *contract_changes(repository, [name]))
    for version, line in found:
        if version.version in kept:
            raise RepositoryError(f"{repository}: {version.label}: {line}. Nothing was changed")


def _refuse_other_tensors(config: pb.ModelConfig, earlier: pb.ModelConfig) -> None:
    for kind in ("input", "output"):
        wanted = {one.name: list(one.dims) for one in getattr(config, kind)}
        present = {one.name: list(one.dims) for one in getattr(earlier, kind)}
        if wanted != present:
            raise _cannot_share(config.name, f"{kind}s: expected {present}, got {wanted}")


def _cannot_share(name: str, difference: str) -> RepositoryError:
    return RepositoryError(
        f"{name}: versions share one config, and this one needs another ({difference}); "
        f"{OTHER_NAME}. Nothing was changed"
    )


def _link(source: str, target: str) -> str:
    """Link a file, which nothing changes in place; copy it where links are not to be had."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def _listed(versions: Sequence[RecordedVersion]) -> str:
    return " and ".join(one.version for one in versions)
