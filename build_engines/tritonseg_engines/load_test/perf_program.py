"""Where perf_analyzer is, and whether it is NVIDIA's and runs here."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tritonseg_engines.errors import LoadTestError

VARIABLE: Final = "TRITONSEG_PERF_ANALYZER"
PROGRAM: Final = "perf_analyzer"
PACKAGE: Final = "perf-analyzer"
STUB_VERSION: Final = "0.1.0"
"""An empty package under NVIDIA's name, which pip takes where no wheel of NVIDIA's fits."""
GREETING: Final = "Perf Analyzer Version"
TIMEOUT_S: Final = 20.0
REMEDY: Final = "docs/perf_analyzer.md says how it gets here"


def find_perf_analyzer(executable: Path | None = None) -> Path:
    """Return NVIDIA's perf_analyzer, which was started once.

    Its own word on its release is not asked for more than that: 2.60 from PyPI says 0.0.0.

    Args:
        executable: Where it is; None for the variable TRITONSEG_PERF_ANALYZER, then the PATH.

    Raises:
        LoadTestError: It is not there, is something else, or does not run on this system.
    """
    named = str(executable or os.environ.get(VARIABLE) or PROGRAM)
    beside = str(Path(sys.executable).parent)  # an environment that was not activated
    found = shutil.which(named) or shutil.which(named, path=beside)
    if found is None:
        raise LoadTestError(_absence(named))
    try:
        done = subprocess.run(  # noqa: S603 - what the user named
            [found, "--version"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoadTestError(f"{found} does not start: {error}; {REMEDY}") from error
    text = (done.stdout + done.stderr).decode(errors="replace").strip()
    if done.returncode == 0 and GREETING in text:
        return Path(found).resolve()
    last = text.rpartition("\n")[2]
    if "GLIBC" in text:
        raise LoadTestError(
            f"{found} needs a newer system than this one ({last.rpartition(': ')[2]}); {REMEDY}"
        )
    raise LoadTestError(
        f"{found} is not NVIDIA's perf_analyzer, or does not run: its --version says "
        f"{last or 'nothing'!r}; {REMEDY}"
    )


def _absence(named: str) -> str:
    if named == PROGRAM and _installed_version() == STUB_VERSION:
        return (
            f"the package {PACKAGE} {STUB_VERSION} that is installed here is empty, not NVIDIA's; "
            f"pip takes it where none of NVIDIA's fits the system; {REMEDY}"
        )
    where = "on the PATH" if named == PROGRAM else f"at {named}"
    return f"there is no perf_analyzer {where}; {REMEDY}"


def _installed_version() -> str | None:
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None
