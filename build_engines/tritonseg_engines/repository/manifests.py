"""Manifests that lie in a repository, and models that have lost theirs."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.configs import folder_names
from tritonseg_engines.repository.files import CONFIG_FILE, MANIFEST_FILE, read_config
from tritonseg_engines.repository.mask_settings import SETTINGS
from tritonseg_steps import contract


def manifests_of(repository: Path) -> list[Path]:
    """Return the paths of the manifests, in the order of their models; hidden ones are none."""
    found = sorted(repository.glob(f"*/{MANIFEST_FILE}"))
    return [path for path in found if not path.parent.name.startswith(".")]


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


def manifest_of_ours(path: Path) -> dict[str, Any] | None:
    """Return a manifest that a build wrote; other models may have one of their own.

    Raises:
        RepositoryError: It cannot be read, and the config is of a build.
    """
    try:
        manifest = read_manifest(path)
    except RepositoryError:
        if _is_of_build(path.with_name(CONFIG_FILE)):
            raise
        return None
    ours = SETTINGS in manifest or _is_of_build(path.with_name(CONFIG_FILE))
    return manifest if ours else None


def models_without(repository: Path) -> list[str]:
    """Return the models of a build that have lost their manifest; steps go with their model."""
    recorded = {
        name for path in manifests_of(repository) for name in folder_names(path.parent.name)
    }
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
