"""All cases, one process each; what fails becomes a row like what succeeds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gpu_check.measuring import machine_key
from gpu_check.rows import Case, Failed, Row, read_measured
from tritonseg_engines.tensorrt import Machine

CASE_MODULE: Final = "gpu_check.case"
CASE_TIMEOUT_S: Final = 3600.0
"""Exporting, converting and judging run on the CPU; OCRNet in int8 takes many minutes there."""
LONGEST_REASON: Final = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """Where things are.

    Attributes:
        folder: Exports, plans and rows; a second run takes up there what the first one did.
        weights: Published checkpoints, or None for random weights.
        calibration: Pictures for int8, or None for drawn streets.
        pictures: Pictures to judge by, or None for drawn streets.
    """

    folder: Path
    weights: Path | None = None
    calibration: Path | None = None
    pictures: Path | None = None

    def arguments(self) -> Iterator[str]:
        """Return the options of a case's process."""
        yield f"--folder={self.folder}"
        for name in ("weights", "calibration", "pictures"):
            place: Path | None = getattr(self, name)
            if place is not None:
                yield f"--{name}={place}"


def run_cases(
    cases: Sequence[Case],
    material: Material,
    machine: Machine,
    *,
    again: bool = False,
    timeout_s: float = CASE_TIMEOUT_S,
    say: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Return a row for every case, in their order.

    Args:
        cases: What to measure.
        material: From what.
        machine: As `inspect_machine` found it; rows of another machine are measured again.
        again: Also measure what has been measured.
        timeout_s: For one case.
        say: Told what begins and what failed.
    """
    material.folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for case in cases:
        say(f"{case.model}, {case.precision}")
        kept = None if again else read_measured(material.folder / case.file_name)
        if kept is not None and kept.machine == machine_key(machine):
            say("    measured earlier")
            rows.append(kept)
            continue
        row = _run_case(case, material, timeout_s)
        if isinstance(row, Failed):
            say(f"    failed: {row.reason}")
        rows.append(row)
    return rows


def _run_case(case: Case, material: Material, timeout_s: float) -> Row:
    path = material.folder / case.file_name
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", CASE_MODULE, case.model, case.precision]
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [*command, *material.arguments()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_python_path())},
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Failed(case=case, reason=f"took more than {timeout_s:g} s")
    row = read_measured(path) if done.returncode == 0 else None
    return row or Failed(case=case, reason=_reason(done.returncode, done.stderr))


def _python_path() -> list[str]:
    """Return where this package is found, and what the environment already says."""
    return [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]


def _reason(returncode: int, stderr: str) -> str:
    if returncode < 0:
        return f"the process was ended by signal {-returncode}"
    lines = stderr.strip().splitlines()
    last = lines[-1].strip() if lines else f"exit code {returncode}, no message"
    return last if len(last) <= LONGEST_REASON else f"{last[:LONGEST_REASON]}..."
