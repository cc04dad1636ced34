"""Manifests that lie in a repository, and models that have lost theirs."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.configs import folder_names
from tritonseg_engines.repository.files import (
    CONFIG_FILE,
    MANIFEST_FILE,
    read_config,
    version_folders,
)
from tritonseg_engines.repository.mask_settings import SETTINGS
from tritonseg_steps import contract


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedVersion:
    """A version of a model whose folder holds a manifest, of a build or not.

    Attributes:
        model: Name of the model that clients call.
        version: As Triton counts it.
        folder: Its version folder.
        siblings: How many versions of the model have a manifest, with this one.
    """

    model: str
    version: str
    folder: Path
    siblings: int

    @property
    def manifest_path(self) -> Path:
        """What the build recorded."""
        return self.folder / MANIFEST_FILE

    @property
    def repository(self) -> Path:
        """Folder that Triton is started on."""
        return self.folder.parent.parent

    @property
    def config_path(self) -> Path:
        """The config that it shares with the model's other versions."""
        return self.folder.parent / CONFIG_FILE

    @property
    def label(self) -> str:
        """The model's name, and the version where there are several."""
        return f"{self.model} version {self.version}" if self.siblings > 1 else self.model


def recorded_versions(repository: Path) -> list[RecordedVersion]:
    """Return the versions that have a manifest, in the order of their models; hidden are none."""
    models = sorted({path.parents[1] for path in repository.glob(f"*/*/{MANIFEST_FILE}")})
    return [
        version
        for model in models
        if not model.name.startswith(".")
        for version in versions_of(model)
    ]


def versions_of(model: Path) -> list[RecordedVersion]:
    """Return the versions of one model's folder that have a manifest, the lowest first."""
    found = {
        version: folder
        for version, folder in version_folders(model).items()
        if (folder / MANIFEST_FILE).is_file()
    }
    return [
        RecordedVersion(model=model.name, version=version, folder=folder, siblings=len(found))
        for version, folder in found.items()
    ]


def read_manifest(path: Path) -> dict[str, Any]:
    """Parse a `manifest.json`.

    Raises:
        RepositoryError: It is not one.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RepositoryError(f"{path}: expected a JSON document: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("provenance"), dict):
        raise RepositoryError(f"{path}: expected an object with 'provenance'")
    if not isinstance(document.get("files", {}), dict):
        raise RepositoryError(f"{path}: expected 'files' to be an object")
    settings = document.get(SETTINGS, {})
    if not isinstance(settings, dict) or not all(isinstance(v, dict) for v in settings.values()):
        raise RepositoryError(f"{path}: expected {SETTINGS!r} to be an object of objects")
    return document


def manifest_of_ours(version: RecordedVersion) -> dict[str, Any] | None:
    """Return the manifest that a build wrote; other models may have one of their own.

    Raises:
        RepositoryError: It cannot be read, and the config is of a build.
    """
    try:
        manifest = read_manifest(version.manifest_path)
    except RepositoryError:
        if _is_of_build(version.config_path):
            raise
        return None
    return manifest if SETTINGS in manifest or _is_of_build(version.config_path) else None


def models_without(repository: Path) -> list[str]:
    """Return the models of a build that have lost their manifest; steps go with their model."""
    recorded = {name for one in recorded_versions(repository) for name in folder_names(one.model)}
    bare = {
        path.parent.name
        for path in repository.glob(f"*/{CONFIG_FILE}")
        if path.parent.name not in recorded and _is_of_build(path)
    }
    steps = {name for model in bare for name in folder_names(model) if name != model}
    return sorted(bare - steps)


def _is_of_build(config_path: Path) -> bool:
    with contextlib.suppress(RepositoryError):  # Triton says better what is wrong with it
        return contract.CONTRACT_PARAMETER in read_config(config_path).parameters
    return False
