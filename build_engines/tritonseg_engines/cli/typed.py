"""Commands as a user can type them in the folder where this one was typed."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

PROGRAM: Final = "tritonseg"
DEFAULT_REPOSITORY: Final = Path("out/model_repository")
"""Where `demo` and `build` write and `serve` looks, unless told otherwise."""


def typed_program() -> str:
    """Return how to call this very installation's `tritonseg` from here.

    An environment need not be active: `make demo` calls the command by its path.
    """
    script = Path(sys.executable).with_name(PROGRAM)
    on_path = shutil.which(PROGRAM)
    if on_path is not None and script.exists() and script.samefile(on_path):
        return PROGRAM
    if script.exists():
        return quoted(script)
    return f"{quoted(Path(sys.executable))} -m {PROGRAM}"


def quoted(path: Path) -> str:
    """Return a path for the shell, relative where it lies below the current folder."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
