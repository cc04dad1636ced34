"""What a server and its stubs hold, once a second, as the kernel tells it to anybody who asks.

Nothing runs inside of them. The proportional set counts a page that three processes map as a third
in each, so it is their memory, but for libraries that others on the machine map, too; the resident
set counts it three times, and is what `ps` shows. The kernel walks all pages for the former, some
20 ms of a core, so it is looked at less often.
"""

from __future__ import annotations

import itertools
import os
import statistics
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
SHARED_MEMORY: Final = Path("/dev/shm")
NO_REGION: Final = "no region"
"""A pattern for those who have none."""
EVERY_S: Final = 1.0
PROPORTIONAL_EVERY: Final = 5
"""Looks; also the fewest seconds between two of the proportional set."""
QUANTITIES: Final = {
    "resident memory, MiB": "rss_mib",
    "proportional memory, MiB": "pss_mib",
    "/dev/shm, MiB": "shm_mib",
    "descriptors": "descriptors",
    "threads": "threads",
}
"""In words, and by name."""

_AROUND: Final = 5
"""Samples whose median is the value at a moment."""
_PAGE_MIB: Final = os.sysconf("SC_PAGE_SIZE") / 2**20


class ServerLostError(RuntimeError):
    """A process ended while it was looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What processes hold together at one moment."""

    rss_mib: float
    shm_mib: float
    descriptors: int
    threads: int

    @classmethod
    def by(cls, process_ids: Sequence[int], regions: str) -> Held:
        """Return what processes hold.

        Args:
            process_ids: Theirs.
            regions: Pattern of the names of their shared memory.

        Raises:
            ServerLostError: One of them is gone.
        """
        folders = [PROC / str(one) for one in process_ids]
        try:
            pages = [int((one / "statm").read_text().split()[1]) for one in folders]
            descriptors, threads = (
                sum(len(list((one / what).iterdir())) for one in folders) for what in ("fd", "task")
            )
            blocks = sum(file.stat().st_blocks for file in SHARED_MEMORY.glob(regions))
        except OSError as error:
            raise ServerLostError(f"a process of the server ended: {error.filename}") from error
        return cls(
            rss_mib=sum(pages) * _PAGE_MIB,
            shm_mib=blocks / 2048,
            descriptors=descriptors,
            threads=threads,
        )


def proportional_mib(process_ids: Sequence[int]) -> float:
    """Return the proportional set of processes.

    Raises:
        ServerLostError: One of them is gone.
    """
    try:
        rollups = [(PROC / f"{one}/smaps_rollup").read_text() for one in process_ids]
    except OSError as error:
        raise ServerLostError(f"a process of the server ended: {error.filename}") from error
    return sum(memory_kib(rollup)["Pss"] for rollup in rollups) / 1024


def memory_kib(rollup: str) -> dict[str, int]:
    """Return the lines of a `smaps_rollup`, in KiB by name. Source: proc_pid_smaps(5)."""
    fields = (line.split() for line in rollup.splitlines()[1:])
    return {name.removesuffix(":"): int(value) for name, value, _unit in fields}


def with_children(process_id: int) -> list[int]:
    """Return a process and the children of all its threads."""
    found = [process_id]
    for file in sorted((PROC / str(process_id) / "task").glob("*/children")):
        found += map(int, file.read_text().split())
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """How one quantity went on from a moment.

    Attributes:
        at_first: Its value then.
        most: The largest from then on.
        per_hour: Slope of the line through all from then on, by least squares.
        lasted_s: How long that was.
    """

    at_first: float
    most: float
    per_hour: float
    lasted_s: float

    @property
    def grew(self) -> float:
        """Growth along the line, as a share of the value at first."""
        return self.per_hour * self.lasted_s / 3600 / self.at_first

    @classmethod
    def of(cls, times_s: Sequence[float], values: Sequence[float], from_s: float) -> Course:
        """Return the course of a quantity from a moment on."""
        first = next(index for index, time_s in enumerate(times_s) if time_s >= from_s)
        times_s, values = times_s[first:], values[first:]
        return cls(
            at_first=statistics.median(values[:_AROUND]),
            most=max(values),
            per_hour=3600 * statistics.linear_regression(times_s, values).slope,
            lasted_s=times_s[-1] - times_s[0],
        )


class Record:
    """What was held, sample by sample, in seconds since the first look."""

    def __init__(self) -> None:
        self._times_s = {name: array("d") for name in QUANTITIES.values()}
        self._values = {name: array("d") for name in QUANTITIES.values()}
        self._error: ServerLostError | None = None

    def course(self, name: str, from_s: float) -> Course:
        """Return the course of a quantity, by its name of `QUANTITIES`.

        Raises:
            ServerLostError: A process ended meanwhile.
        """
        if self._error is not None:
            raise self._error
        return Course.of(self._times_s[name], self._values[name], from_s)

    def keep(self, process_ids: Sequence[int], regions: str, stopped: threading.Event) -> None:
        """Look once a second until an event."""
        begun_s = time.monotonic()
        for look in itertools.count():
            if stopped.wait(EVERY_S):
                return
            try:
                found: dict[str, float] = asdict(Held.by(process_ids, regions))
                if look % PROPORTIONAL_EVERY == 0:
                    found["pss_mib"] = proportional_mib(process_ids)
            except ServerLostError as error:
                self._error = error
                return
            for name, value in found.items():
                self._times_s[name].append(time.monotonic() - begun_s)
                self._values[name].append(value)


@contextmanager
def recorded(process_id: int, regions: str) -> Iterator[Record]:
    """Record what a process and its children hold, for the time of a `with` block.

    Args:
        process_id: Of the server.
        regions: Pattern of the names of its shared memory.
    """
    process_ids = with_children(process_id)
    record, stopped = Record(), threading.Event()
    thread = threading.Thread(target=record.keep, args=(process_ids, regions, stopped))
    thread.start()
    try:
        yield record
    finally:
        stopped.set()
        thread.join()
