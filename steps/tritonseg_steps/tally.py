"""What the process of a step tells the others of its ensemble: how many requests it has answered.

It stands in memory that has no name in any folder and ends with its process. The others look for it
among the processes of the same server, so nothing has to be agreed upon, and nothing is left over.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tritonseg_steps.admission import Pace

PROC: Final = Path("/proc")
MEMORY_PREFIX: Final = "/memfd:"
"""Source: memfd_create(2), "Notes"; behind the name stands " (deleted)"."""
NEW_SHARE: Final = 0.2
"""Weight of the last request in the mean."""
_DONE, _FAILED, _INSIDE, _SINCE_NS, _TURN_NS, _WORDS = range(6)


def tally_name(model: str, version: str) -> str:
    """Return the name under which a step's processes are found."""
    return f"tritonseg:{model}/{version}"


@dataclass(frozen=True, slots=True)
class Counts:
    """What a process has counted; every property is read afresh."""

    words: NDArray[np.int64]
    """Each is written by one process alone, and read whole."""

    @property
    def done(self) -> int:
        """Requests answered, with an error or without."""
        return int(self.words[_DONE])

    @property
    def failed(self) -> int:
        """Those answered with an error, which no step after this one sees."""
        return int(self.words[_FAILED])

    @property
    def inside(self) -> int:
        """Requests that it works at."""
        return int(self.words[_INSIDE])

    @property
    def since_ns(self) -> int:
        """When anything changed last, by the machine's monotonic clock."""
        return int(self.words[_SINCE_NS])

    @property
    def turn_ns(self) -> int:
        """How long a request takes, in the mean of the last ones; 0 before the first."""
        return int(self.words[_TURN_NS])


class Tally:
    """A process's own counts.

    Args:
        model: Name of the Triton model.
        version: Of it, as Triton counts.
    """

    def __init__(self, model: str, version: str) -> None:
        file = os.memfd_create(tally_name(model, version))
        try:
            os.ftruncate(file, 8 * _WORDS)
            memory = mmap.mmap(file, 8 * _WORDS)  # keeps a descriptor of its own, which is found
        finally:
            os.close(file)
        self._words: NDArray[np.int64] = np.frombuffer(memory, np.int64)
        self._lock = Lock()
        self.counts = Counts(self._words)

    def begin(self, requests: int) -> None:
        """Count requests in."""
        self._words[_INSIDE] = requests
        self._words[_SINCE_NS] = time.monotonic_ns()

    def end(self, failed: int) -> None:
        """Count out what was counted in, of which so many are answered with an error."""
        words, count, now_ns = self._words, self.counts.inside, time.monotonic_ns()
        took_ns = (now_ns - self.counts.since_ns) / max(1, count)
        before_ns = self.counts.turn_ns
        with self._lock:
            words[_TURN_NS] = took_ns + (1 - NEW_SHARE) * bool(before_ns) * (before_ns - took_ns)
            words[_FAILED] += failed
            words[_DONE] += count
            words[_INSIDE] = 0
            words[_SINCE_NS] = now_ns

    def correct(self, requests: int) -> None:
        """Count so many more as done, or fewer."""
        with self._lock:
            self._words[_DONE] += requests
            self._words[_SINCE_NS] = time.monotonic_ns()


def pace_of(processes: Sequence[Counts]) -> Pace:
    """Return the pace of a step that has so many processes."""
    if not processes:
        return Pace()
    now_ns = time.monotonic_ns()
    turn_ns = sum(one.turn_ns for one in processes) / len(processes)
    gone_ns = [now_ns - one.since_ns if one.inside else turn_ns for one in processes]
    return Pace(
        turn_s=turn_ns / 1e9,
        left_s=max(0.0, turn_ns - max(gone_ns)) / 1e9,
        at_once=len(processes),
    )


def tallies(server: int) -> list[tuple[str, Counts]]:
    """Return the counts of every process that a server has started, each with its name."""
    found: dict[int, tuple[str, Counts]] = {}
    for name, file in _files(server):
        with contextlib.suppress(OSError, ValueError):  # gone meanwhile
            # More than one descriptor may stand for the same memory.
            inode = file.stat().st_ino
            if inode not in found:
                found[inode] = (name, Counts(_mapped(file)))
    return list(found.values())


def _files(server: int) -> Iterator[tuple[str, Path]]:
    prefix = MEMORY_PREFIX + tally_name("", "")[:-1]
    for file in _open_files(server):
        with contextlib.suppress(OSError):  # closed meanwhile, as the one that lists them is
            target = str(file.readlink())
            if target.startswith(prefix):
                yield target.removeprefix(MEMORY_PREFIX).removesuffix(" (deleted)"), file


def _open_files(server: int) -> Iterator[Path]:
    for children in PROC.glob(f"{server}/task/*/children"):
        for process in _words(children):
            with contextlib.suppress(OSError):  # gone, or of another user
                yield from (PROC / process / "fd").iterdir()


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except OSError:  # its thread is gone
        return []


def _mapped(file: Path) -> NDArray[Any]:
    with file.open("rb") as opened:
        memory = mmap.mmap(opened.fileno(), 8 * _WORDS, access=mmap.ACCESS_READ)
    return np.frombuffer(memory, np.int64)
