"""From `tritonseg serve` to "ready", by what of the steps' machine code is there already.

The demo model, in a process of its own every time. Starts take turns.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from pace import Pace
from results import markdown_table

from tritonseg_engines.target import Runtime, ServingLayout
from tritonseg_steps.compiled import SHIPPED

TRITONSEG: Final = Path(sys.executable).with_name("tritonseg")
LAYOUTS: Final = (ServingLayout.SINGLE, ServingLayout.ENSEMBLE)
NOTHING, AFTER_BUILD, IMAGE, SECOND = "nothing compiled", "after a build", "in an image", "second"
FULL_ROUNDS: Final = 5


def measure(folder: Path, pace: Pace) -> dict[str, dict[str, list[float]]]:
    """Return, for every layout and kind of start, how many seconds each took."""
    shipped = folder / "shipped"
    _run(
        [sys.executable, "-m", "tritonseg_steps.compile_ahead"],
        {"NUMBA_CACHE_DIR": str(shipped), SHIPPED: str(shipped)},
    )
    rounds = FULL_ROUNDS if pace.rounds > FULL_ROUNDS else 1
    found: dict[str, dict[str, list[float]]] = {}
    for layout in LAYOUTS:
        repository, built = folder / layout / "models", folder / layout / "built"
        command = [str(TRITONSEG), "build", "street-demo", "--runtime", Runtime.OPENVINO]
        command += ["--layout", layout, "--repository", str(repository)]
        _run(command, {"NUMBA_CACHE_DIR": str(built)})
        found[layout] = {NOTHING: [], AFTER_BUILD: [], IMAGE: [], SECOND: []}
        for _ in range(rounds):
            for kind, seconds in _starts(repository, built, shipped, folder / "caches").items():
                found[layout][kind].append(seconds)
    return found


def _starts(repository: Path, built: Path, shipped: Path, caches: Path) -> dict[str, float]:
    """Start once in every way, with a cache that holds what it would."""
    shutil.rmtree(caches, ignore_errors=True)
    shutil.copytree(built, caches / "built")
    nothing = {"NUMBA_CACHE_DIR": str(caches / "nothing")}
    return {
        NOTHING: start_s(repository, nothing),
        SECOND: start_s(repository, nothing),
        AFTER_BUILD: start_s(repository, {"NUMBA_CACHE_DIR": str(caches / "built")}),
        IMAGE: start_s(
            repository, {"NUMBA_CACHE_DIR": str(caches / "image"), SHIPPED: str(shipped)}
        ),
    }


def start_s(repository: Path, variables: dict[str, str]) -> float:
    """Serve a repository until it is ready; return how long that took."""
    command = [str(TRITONSEG), "serve", "--grpc-port", "0", "--repository", str(repository)]
    begun = time.perf_counter()
    with subprocess.Popen(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        seconds = time.perf_counter() - begun
        process.send_signal(signal.SIGINT)
    if not said.startswith("ready"):
        raise RuntimeError(f"the server did not start: {said!r}")
    return seconds


def _run(command: list[str], variables: dict[str, str]) -> None:
    subprocess.run(command, env={**os.environ, **variables}, check=True, stdout=subprocess.DEVNULL)


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Return a row for every kind of first start: seconds, and in how many times the second."""
    header = ["start, in seconds (times the second)", *found]
    rows = [
        [kind, *(_cell(times[kind], times[SECOND]) for times in found.values())]
        for kind in (NOTHING, AFTER_BUILD, IMAGE)
    ]
    seconds = [f"{statistics.median(times[SECOND]):.1f}" for times in found.values()]
    return markdown_table(header, [*rows, [SECOND, *seconds]])


def _cell(times: list[float], second: list[float]) -> str:
    seconds = statistics.median(times)
    return f"{seconds:.1f} ({seconds / statistics.median(second):.1f} x)"
