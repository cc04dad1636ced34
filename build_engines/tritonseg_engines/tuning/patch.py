"""A recommendation as a patch of `config.pbtxt`, and how it is written into a repository."""

from __future__ import annotations

import difflib
from pathlib import Path

from tritonseg_engines.atomic import alone_in, write_atomically
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.files import CONFIG_FILE
from tritonseg_engines.tuning.candidate import Candidate
from tritonseg_engines.tuning.trial import config_text

PATCH_NAME = "recommended.patch"


def unified_patch(candidate: Candidate) -> str:
    """Return what changes in the files of the repository; empty if nothing does.

    `patch -p1 -d REPOSITORY < recommended.patch` makes the changes.
    """
    return "".join(
        # Of a file whose last line does not end, as `diff` says it and `patch` reads it.
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for folder, text in _changed_texts(candidate).items()
        for line in difflib.unified_diff(
            candidate.variant.texts[folder].splitlines(keepends=True),
            text.splitlines(keepends=True),
            fromfile=f"a/{folder}/{CONFIG_FILE}",
            tofile=f"b/{folder}/{CONFIG_FILE}",
        )
    )


def apply(candidate: Candidate) -> list[Path]:
    """Write a candidate's configs into the repository that its variant was read from.

    Each file is there whole, as it was or as it shall be; all mixtures of the two are served.

    Returns:
        The files that were changed.

    Raises:
        RepositoryError: A config is not as it was when it was read, or not as a build writes it.
    """
    variant, texts = candidate.variant, _changed_texts(candidate)
    paths = {folder: variant.repository / folder / CONFIG_FILE for folder in texts}
    with alone_in(variant.repository):
        for folder, path in paths.items():
            if path.read_text(encoding="utf-8") != variant.texts[folder]:
                raise RepositoryError(
                    f"{path} was changed meanwhile; nothing was applied, tune again"
                )
            if folder in rewritten(candidate):
                raise RepositoryError(
                    f"{path} has comments or an order of its own, which would be lost; nothing was "
                    f"applied: make the changes in {PATCH_NAME} by hand"
                )
        for folder, path in _in_order(candidate, paths).items():
            write_atomically(path, texts[folder].encode())
    return list(paths.values())


def rewritten(candidate: Candidate) -> list[str]:
    """Return the folders whose config the patch writes anew, with the loss of its comments."""
    variant = candidate.variant
    return [
        folder
        for folder in _changed_texts(candidate)
        if config_text(variant.configs[folder]) != variant.texts[folder]
    ]


def _changed_texts(candidate: Candidate) -> dict[str, str]:
    """Return the new text of every config that changes, by folder."""
    variant = candidate.variant
    return {
        folder: config_text(config)
        for folder, config in candidate.configs.items()
        if config != variant.configs[folder]
    }


def _in_order(candidate: Candidate, paths: dict[str, Path]) -> dict[str, Path]:
    """Return the paths, so ordered that an ensemble's batch is never larger than its steps'."""
    model = candidate.variant.model
    before, after = candidate.variant.settings.max_batch_size, candidate.settings.max_batch_size
    shrinks = before is not None and after is not None and after < before
    return dict(sorted(paths.items(), key=lambda pair: (pair[0] == model) is not shrinks))
