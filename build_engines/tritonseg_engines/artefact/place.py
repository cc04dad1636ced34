"""Where a pulled repository comes to lie: whole or not at all, and on nobody else's files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tritonseg_engines.atomic import alone_in, replaced_directories
from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.errors import ArtefactError
from tritonseg_engines.repository.configs import folder_names
from tritonseg_engines.repository.files import REPORT_FILES
from tritonseg_engines.repository.manifests import recorded_versions

_UNPACKED: Final = ".unpacked"
_NOT_PULLED: Final = {*REPORT_FILES, "__pycache__"}
"""What may lie in a repository beside what an artefact has."""


class _AlreadyThereError(Exception):
    """The same repository lies there, and stays."""


@dataclass(kw_only=True, slots=True)
class Place:
    """A folder beside the final one, where things are unpacked and looked at.

    Attributes:
        repository: The final one.
        staging: For what an image unpacks to.
        replaces: Whether another repository of tritonseg's may go.
        alone: Holds what keeps others away, from `take` until the folder lies there.
        is_taken: Whether the same lies there already.
    """

    repository: Path
    staging: Path
    replaces: bool
    alone: contextlib.ExitStack
    is_taken: bool = False

    def take(self, models: Path) -> bool:
        """Choose what becomes the repository; return whether it is not there already.

        From here on no other process of ours changes what is there.

        Raises:
            ArtefactError: Another one is there and may not go, or things that are none.
        """
        self.alone.enter_context(alone_in(self.repository.parent))
        if self.repository.is_dir() and any(self.repository.iterdir()):
            self.is_taken = _files(self.repository) == _files(models)
            if self.is_taken:
                return False
            self._refuse_others()
        models.rename(self.staging.parent / self.repository.name)
        return True

    def _refuse_others(self) -> None:
        if foreign := _foreign(self.repository):
            raise ArtefactError(
                f"{self.repository} holds {foreign}, which tritonseg did not build; give another "
                "-o, or move that away. Nothing was changed"
            )
        if not self.replaces:
            raise ArtefactError(
                f"{self.repository} holds another repository; give another -o, or --replace. "
                "Nothing was changed"
            )


@contextlib.contextmanager
def placed(repository: Path, *, replaces: bool) -> Iterator[Place]:
    """Yield a place to unpack in; on success what was taken becomes the repository.

    Raises:
        ArtefactError: The repository can be no folder of ours.
    """
    final = Path(os.path.abspath(repository))  # noqa: PTH100 - a link is to be refused
    if final.is_symlink() or (final.exists() and not final.is_dir()) or final.is_mount():
        raise ArtefactError(
            f"{repository}: expected a folder to make or replace, got a link, file or mount point; "
            "give a folder inside it"
        )
    with (
        contextlib.suppress(_AlreadyThereError),
        contextlib.ExitStack() as alone,  # before what exchanges the folders, so as to end after it
        replaced_directories(final.parent, (final.name,)) as staging,
    ):
        place = Place(repository=final, staging=staging / _UNPACKED, replaces=replaces, alone=alone)
        place.staging.mkdir()
        yield place
        if place.is_taken:
            raise _AlreadyThereError


def _files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file that an artefact could have, by path."""
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in folder.rglob("*")
        if path.is_file() and not _NOT_PULLED & set(path.relative_to(folder).parts)
    }


def _foreign(repository: Path) -> str | None:
    """Return the first thing in a repository that is no model of a build's."""
    models = {one.model for one in recorded_versions(repository)}
    own = {name for model in models for name in folder_names(model)}
    return next((path.name for path in sorted(repository.iterdir()) if path.name not in own), None)
