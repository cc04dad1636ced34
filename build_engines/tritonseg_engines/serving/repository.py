"""Look at a model repository before a server is started on it."""

from __future__ import annotations

import compileall
import contextlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tritonseg_engines.errors import RepositoryError, ServerStartError
from tritonseg_engines.repository.check import changed_since_build, unfit_here
from tritonseg_engines.repository.configs import folder_names
from tritonseg_engines.repository.files import CONFIG_FILE, version_folders
from tritonseg_engines.repository.leftovers import leftovers
from tritonseg_engines.repository.shared_memory import MIB, shared_memory_mib
from tritonseg_engines.serving.config import ServerConfig

logger = logging.getLogger(__name__)

_HINT: Final = (
    "build a model into it with `tritonseg build` (`tritonseg build street-demo` needs no file of "
    "yours), or give another directory"
)


def checked_repositories(config: ServerConfig) -> tuple[Path, ...]:
    """Return the absolute paths of the repositories of `config`.

    Raises:
        RepositoryError: One is missing or empty, a model asked for is in none, two have a model of
            one name, or an engine that tritonseg built was exchanged since, or what decides its
            masks was changed, or a build that was killed left something in it, or a model is of
            another contract or, as far as can be told, of another GPU or TensorRT than what is
            here.
    """
    paths = tuple(dict.fromkeys(path.expanduser().resolve() for path in config.repositories))
    models = {path: _models_of(path) for path in paths}
    if not config.models:  # Triton would load all there is
        for path in paths:
            for line in leftovers(path).values():
                raise RepositoryError(line)
    _refuse_missing(models, config.models)
    _refuse_doubled(paths, config.models)
    for path in paths:
        _refuse_unproven(path, config.models)
    return paths


def _models_of(repository: Path) -> list[str]:
    if not repository.is_dir():
        raise RepositoryError(f"there is no model repository at {repository}: {_HINT}")
    if (repository / CONFIG_FILE).is_file():
        raise RepositoryError(f"{repository} is a model; give the directory that it lies in")
    names = (file.parent.name for file in repository.glob(f"*/{CONFIG_FILE}"))
    models = sorted(name for name in names if not name.startswith("."))
    if not models:
        raise RepositoryError(f"{repository} holds no model (no */{CONFIG_FILE}): {_HINT}")
    return models


def _refuse_missing(models: Mapping[Path, list[str]], asked: tuple[str, ...]) -> None:
    missing = sorted(set(asked).difference(*models.values()))
    if missing:
        none = ", ".join(missing)
        raise RepositoryError(
            "; ".join(
                f"{path} has no {none}; it has {', '.join(names)}" for path, names in models.items()
            )
        )


def _refuse_doubled(repositories: Sequence[Path], asked: tuple[str, ...]) -> None:
    """Refuse two models of one name, of which Triton would serve neither.

    With --model-namespacing it loads both, and no request of gRPC or HTTP can say which it means.
    Source: `RepositoryIndex` and `GetModel` of the core; measured with 2.51.
    """
    served = {folder for name in asked for folder in folder_names(name)}
    first: dict[str, Path] = {}
    for repository in repositories:
        # A folder without a config counts as well.
        for folder in sorted(path for path in repository.iterdir() if path.is_dir()):
            other = first.setdefault(folder.name, repository)
            is_served = not asked or folder.name in served
            if is_served and other != repository and not folder.name.startswith("."):
                raise RepositoryError(
                    f"{folder.name} is both in {other} and in {repository}, and Triton serves no "
                    "model of two: take one of them away, or name the MODELs to serve"
                )


def write_bytecode(repositories: Sequence[Path]) -> None:
    """Write Python's cache of the steps beside them, where that can be, as their stubs would.

    Triton would take what a stub writes for a change of the model: at its first poll it loads every
    step again, and hangs for good where the model goes meanwhile (measured with 2.51; see the
    keeper). A stub of Python 3.11 and later heeds no PYTHONDONTWRITEBYTECODE.
    """
    for repository in repositories:
        for config in repository.glob(f"*/{CONFIG_FILE}"):
            for version in version_folders(config.parent).values():
                for step in version.glob("*.py"):
                    compileall.compile_file(step, quiet=2)


def refuse_small_shared_memory(
    repositories: Sequence[Path],
    models: tuple[str, ...],
    folder: Path = Path("/dev/shm"),  # noqa: S108
) -> None:
    """Refuse where not even one picture fits; Triton 2.51 would end by signal 11, without a word.

    Where the largest batch does not fit, a warning is logged.

    Args:
        repositories: Folders that Triton is to be started on.
        models: As in `ServerConfig`.
        folder: Where POSIX shared memory is.

    Raises:
        ServerStartError: It is too small.
    """
    there = ", ".join(map(str, repositories))
    with contextlib.suppress(RepositoryError):  # Triton says better what is wrong with a config
        least = sum(shared_memory_mib(path, models, largest_batch=1) for path in repositories)
        most = sum(shared_memory_mib(path, models) for path in repositories)
        filesystem = os.statvfs(folder)
        present = filesystem.f_blocks * filesystem.f_frsize // MIB
        advice = f"a container is given that by --shm-size={most}m"
        if present < least:
            raise ServerStartError(
                f"{folder} has {present} MiB, and the models in {there} need {least} for one "
                f"picture and {most} for their largest batches: {advice}"
            )
        if present < most:
            logger.warning(
                "%s has %d MiB, and the largest batches of the models need %d, without which the "
                "server may end by a signal: %s", folder, present, most, advice,
            )  # fmt: skip


def _refuse_unproven(repository: Path, models: tuple[str, ...]) -> None:
    """Refuse what is not as it passed its gate, or cannot be served by what is here."""
    problems = changed_since_build(repository, models) or unfit_here(repository, models)
    if problems:
        more = f"; {len(problems) - 1} more, which `tritonseg doctor` lists" if problems[1:] else ""
        raise RepositoryError(problems[0] + more)
