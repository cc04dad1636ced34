"""Which folders of a repository a build may replace: its own, and nobody else's.

A model's folder says so by its parameter `tritonseg_model`; a step has only the contract's. What
has neither is the user's, unless the model's own manifest lists it. So is what lies in a folder of
its own besides what builds write.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from pathlib import Path

from tritonseg_engines.atomic import RETIRED, alone_in, remove_directories
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.configs import folder_names
from tritonseg_engines.repository.files import (
    CONFIG_FILE,
    FIRST_VERSION,
    MANIFEST_FILE,
    WARM_UP_FOLDER,
    WRITTEN_BESIDE_VERSIONS,
    WRITTEN_IN_VERSION,
    WRITTEN_IN_WARM_UP,
    read_config,
    version_folders,
)
from tritonseg_engines.repository.manifests import read_manifest, versions_of
from tritonseg_engines.repository.mask_settings import SETTINGS
from tritonseg_engines.target import ServingLayout
from tritonseg_steps import contract

ELSEWHERE = "give another --repository, or another name in the specification"
SUFFIXES = (contract.NORMALIZE_SUFFIX, contract.ENGINE_SUFFIX, contract.ARGMAX_SUFFIX)


def layout_folders(name: str, layout: ServingLayout) -> tuple[str, ...]:
    """Return the folders that a model needs in a layout."""
    return folder_names(name) if layout is ServingLayout.ENSEMBLE else (name,)


def refuse_taken(repository: Path, name: str, needed: Collection[str]) -> None:
    """Refuse a build that would replace what another build, or the user, put there.

    Args:
        repository: Folder that Triton is started on; need not be there.
        name: The model to be written.
        needed: The folders that it will have.

    Raises:
        RepositoryError: One of them is not its own, or its name and that of another model are
            those of a model and its step. Nothing was changed.
    """
    _refuse_half_replaced(repository, name)
    for suffix in SUFFIXES:
        whole = name.removesuffix(suffix)
        if whole != name and whole and _is_model(repository / whole):
            raise RepositoryError(
                f"{repository}: {name} is what the model {whole} there calls one of its steps; "
                f"{ELSEWHERE}"
            )
        if _is_model(repository / (name + suffix)):
            raise RepositoryError(
                f"{repository}: {name + suffix} there is a model of its own, and {name} would have "
                f"a step of that name; {ELSEWHERE}"
            )
    own = _own_folders(repository, name)
    for folder in sorted(set(needed) - own):
        if _holds_something(repository / folder):
            raise RepositoryError(
                f"{repository / folder} was not written by a build of {name}, and would be "
                f"replaced; {ELSEWHERE}, or move that folder away"
            )
    for folder in sorted(own):
        if foreign := _foreign(repository / folder):
            raise RepositoryError(
                f"{repository / folder} holds {foreign}, which no build wrote, and is replaced as "
                "a whole; move that out of there"
            )


def _refuse_half_replaced(repository: Path, name: str) -> None:
    """Refuse to build over what a build that was killed left, with versions that would be lost."""
    for folder in sorted(repository.glob(f".*{RETIRED}")):
        if (folder / name).is_dir() and not (repository / name).exists():
            raise RepositoryError(
                f"{folder} holds {name} as before a build that was killed while it replaced it; "
                f"move it back to {repository}, and remove the folder"
            )


def refuse_replacing(export: Path, repository: Path, name: str, needed: Collection[str]) -> None:
    """Refuse a build that would remove what it is made from.

    Args:
        export: The ONNX file to be built.
        repository: As in `refuse_taken`.
        name: As there.
        needed: As there.

    Raises:
        RepositoryError: The export lies in a folder that will be replaced or removed.
    """
    above = export.resolve().parents
    for folder in (*needed, *obsolete_folders(repository, name, needed)):
        if (repository / folder).resolve() in above:
            raise RepositoryError(
                f"{export} lies in {repository / folder}, which a build of {name} replaces; move "
                "the export out of there"
            )


def _foreign(folder: Path) -> str | None:
    """Return the first thing in a model's folder that builds do not write, or None."""
    versions = {FIRST_VERSION, *(one.version for one in versions_of(folder))}
    written = {
        "": WRITTEN_BESIDE_VERSIONS | versions,
        **dict.fromkeys(sorted(versions), WRITTEN_IN_VERSION),
        WARM_UP_FOLDER: WRITTEN_IN_WARM_UP,
    }
    for inner, names in written.items():
        with contextlib.suppress(OSError):
            for entry in sorted((folder / inner).iterdir()):
                if entry.name not in names:
                    return entry.relative_to(folder).as_posix()
    return None


def obsolete_folders(repository: Path, name: str, needed: Collection[str]) -> tuple[str, ...]:
    """Return the folders of an earlier build of a model that a new one no longer needs."""
    return tuple(sorted(_own_folders(repository, name) - set(needed)))


def remove_obsolete(repository: Path, name: str, layout: ServingLayout) -> None:
    """Remove the folders of a model that its layout does not need, if it still has that layout.

    Raises:
        RepositoryError: They cannot be removed; the model itself is served without them.
    """
    obsolete = obsolete_folders(repository, name, layout_folders(name, layout))
    try:
        with alone_in(repository):
            manifests = [read_manifest(one.manifest_path) for one in versions_of(repository / name)]
            if obsolete and all(one.get("layout") == layout for one in manifests):
                remove_directories(repository, obsolete)
    except OSError as error:
        raise RepositoryError(
            f"{repository}: {', '.join(obsolete)}, which {name} does not need any more, cannot be "
            f"removed: {error.strerror}"
        ) from error


def _own_folders(repository: Path, name: str) -> set[str]:
    """Return those folders of a model that a build of it wrote."""
    recorded = _recorded(repository / name)
    own = {name} if name in recorded or _is_model(repository / name) else set()
    steps = {name + suffix for suffix in SUFFIXES}
    return own | {step for step in steps if step in recorded or _is_step(repository / step)}


def _recorded(folder: Path) -> set[str]:
    """Return the folders that a model's manifests list; none if it has no such manifest."""
    folders: set[str] = set()
    for version in version_folders(folder).values():
        with contextlib.suppress(OSError, ValueError, RecursionError, AttributeError, TypeError):
            document = json.loads((version / MANIFEST_FILE).read_text(encoding="utf-8"))
            if document["model"] == folder.name and isinstance(document["provenance"], dict):
                files = {path.partition("/")[0] for path in document.get("files", {})}
                folders |= {folder.name, *files, *document.get(SETTINGS, {})}
    return folders


def _is_model(folder: Path) -> bool:
    return contract.MODEL_PARAMETER in _parameters(folder)


def _is_step(folder: Path) -> bool:
    parameters = _parameters(folder)
    return contract.CONTRACT_PARAMETER in parameters and contract.MODEL_PARAMETER not in parameters


def _parameters(folder: Path) -> Collection[str]:
    with contextlib.suppress(RepositoryError):
        return set(read_config(folder / CONFIG_FILE).parameters)
    return ()


def _holds_something(path: Path) -> bool:
    return path.is_symlink() or path.is_file() or (path.is_dir() and any(path.iterdir()))
