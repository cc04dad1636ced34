"""Look at a model repository before a server is started on it."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Final

from tritonseg_engines.errors import RepositoryError, ServerStartError
from tritonseg_engines.repository.check import changed_since_build, unfit_here
from tritonseg_engines.repository.leftovers import leftovers
from tritonseg_engines.repository.shared_memory import MIB, shared_memory_mib
from tritonseg_engines.serving.config import ServerConfig

logger = logging.getLogger(__name__)

_HINT: Final = (
    "build a model into it with `tritonseg build` (`tritonseg build street-demo` needs no file of "
    "yours), or give another directory"
)


def checked_repository(config: ServerConfig) -> Path:
    """Return the absolute path of the repository of `config`.

    Raises:
        RepositoryError: There is none, it is empty, a model asked for is not in it, or an engine
            that tritonseg built was exchanged since, or what decides its masks was changed, or a
            build that was killed left something in it, or a model is of another contract or, as
            far as can be told, of another GPU or TensorRT than what is here.
    """
    repository = config.repository.expanduser().resolve()
    if not repository.is_dir():
        raise RepositoryError(f"there is no model repository at {repository}: {_HINT}")
    if (repository / "config.pbtxt").is_file():
        raise RepositoryError(f"{repository} is a model; give the directory that it lies in")
    if not config.models and (left := leftovers(repository)):  # Triton would load all there is
        raise RepositoryError(next(iter(left.values())))
    names = (file.parent.name for file in repository.glob("*/config.pbtxt"))
    models = sorted(name for name in names if not name.startswith("."))
    if not models:
        raise RepositoryError(f"{repository} holds no model (no */config.pbtxt): {_HINT}")
    missing = sorted(set(config.models) - set(models))
    if missing:
        raise RepositoryError(
            f"{repository} has no {', '.join(missing)}; it has {', '.join(models)}"
        )
    _refuse_unproven(repository, config.models)
    return repository


def refuse_small_shared_memory(
    repository: Path,
    models: tuple[str, ...],
    folder: Path = Path("/dev/shm"),  # noqa: S108
) -> None:
    """Refuse where not even one picture fits; Triton 2.51 would end by signal 11, without a word.

    Where the largest batch does not fit, a warning is logged.

    Args:
        repository: Folder that Triton is to be started on.
        models: As in `ServerConfig`.
        folder: Where POSIX shared memory is.

    Raises:
        ServerStartError: It is too small.
    """
    with contextlib.suppress(RepositoryError):  # Triton says better what is wrong with a config
        least = shared_memory_mib(repository, models, largest_batch=1)
        most = shared_memory_mib(repository, models)
        filesystem = os.statvfs(folder)
        present = filesystem.f_blocks * filesystem.f_frsize // MIB
        advice = f"a container is given that by --shm-size={most}m"
        if present < least:
            raise ServerStartError(
                f"{folder} has {present} MiB, and the models in {repository} need {least} for one "
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
