"""Whether the line that refuses a repository says which file is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from repository_mutations import LAYOUTS
from tritonseg_engines.errors import EngineBuildError
from tritonseg_engines.verification.files import check_files

CURES = ("build it again", "build the model again", "put that back", "put back", "remove ")


def verdict_lines(repository: Path, *, exact: bool = False) -> list[str]:
    """Return the lines of what is wrong, none if all is as built."""
    try:
        checked = check_files(repository, exact=exact)
    except EngineBuildError as error:
        return [str(error)]
    return [f"{one.label}: {one.problem}" for one in checked if one.problem is not None]


def fault_in_words(lines: Sequence[str], files: Collection[str]) -> str | None:
    """Return what is wrong with a refusal, None if it is one and says what it should."""
    if not lines:
        return "passed"
    if any("\n" in line or "Traceback" in line for line in lines):
        return f"is told in several lines: {lines}"
    named = [line for line in lines if any(file in line for file in files)]
    if not named:
        return f"is told without the file: {lines}"
    if not named[0].startswith((*LAYOUTS, "renamed")):
        return f"is told without the model: {named[0]}"
    if not any(cure in named[0] for cure in CURES):
        return f"is told without a cure: {named[0]}"
    return None
