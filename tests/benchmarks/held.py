"""What a server and its stubs hold, once a second, as the kernel tells it to anybody who asks.

Nothing runs inside of them. The proportional set counts a page that three processes map as a third
in each, so it is their memory; the resident set counts it three times, and is what `ps` shows.
"""

from __future__ import annotations

import statistics
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
SHARED_MEMORY: Final = Path("/dev/shm")
NO_REGION: Final = "no region"
"""A pattern for those who have none."""
EVERY_S: Final = 1.0
QUANTITIES: Final = {
    "resident memory, MiB": "rss_mib",
    "proportional memory, MiB": "pss_mib",
    "/dev/shm, MiB": "shm_mib",
    "descriptors": "descriptors",
    "threads": "threads",
}
"""In words, and as attributes of `Held`."""

_AROUND: Final = 5
"""Samples whose median is the value at a moment."""


class ServerLostError(RuntimeError):
    """A process ended while it was looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What processes hold together at one moment."""

    rss_mib: float
    pss_mib: float
    shm_mib: float
    descriptors: int
    threads: int

    @classmethod
    def by(cls, process_ids: Sequence[int], regions: str, proc: Path = PROC) -> Held:
        """Return what processes hold.

        Args:
            process_ids: Theirs.
            regions: Pattern of the names of their shared memory.
            proc: Where the kernel tells it.

        Raises:
            ServerLostError: One of them is gone.
        """
        try:
            rollups = [
                memory_kib((proc / f"{one}/smaps_rollup").read_text()) for one in process_ids
            ]
            descriptors, threads = (
                sum(len(list((proc / str(one) / what).iterdir())) for one in process_ids)
                for what in ("fd", "task")
            )
        except OSError as error:
            raise ServerLostError(f"a process of the server ended: {error.filename}") from error
        return cls(
            rss_mib=sum(rollup["Rss"] for rollup in rollups) / 1024,
            pss_mib=sum(rollup["Pss"] for rollup in rollups) / 1024,
            shm_mib=sum(file.stat().st_blocks for file in SHARED_MEMORY.glob(regions)) / 2048,
            descriptors=descriptors,
            threads=threads,
        )


def memory_kib(rollup: str) -> dict[str, int]:
    """Return the lines of a `smaps_rollup`, in KiB by name. Source: proc_pid_smaps(5)."""
    fields = (line.split() for line in rollup.splitlines()[1:])
    return {name.removesuffix(":"): int(value) for name, value, _unit in fields}


def with_children(process_id: int, proc: Path = PROC) -> list[int]:
    """Return a process and the children of all its threads."""
    found = [process_id]
    for file in sorted((proc / str(process_id) / "task").glob("*/children")):
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
    """What was held, sample by sample.

    Attributes:
        times_s: Since the first.
    """

    def __init__(self) -> None:
        self.times_s = array("d")
        self._values = {name: array("d") for name in QUANTITIES.values()}
        self._error: ServerLostError | None = None

    def course(self, name: str, from_s: float) -> Course:
        """Return the course of a quantity of `Held`.

        Raises:
            ServerLostError: A process ended meanwhile.
        """
        if self._error is not None:
            raise self._error
        return Course.of(self.times_s, self._values[name], from_s)

    def keep(self, process_id: int, regions: str, stopped: threading.Event) -> None:
        """Look once a second until an event."""
        process_ids, begun_s = with_children(process_id), time.monotonic()
        while not stopped.wait(EVERY_S):
            try:
                held = Held.by(process_ids, regions)
            except ServerLostError as error:
                self._error = error
                return
            self.times_s.append(time.monotonic() - begun_s)
            for name, values in self._values.items():
                values.append(getattr(held, name))


@contextmanager
def recorded(process_id: int, regions: str) -> Iterator[Record]:
    """Record what a process and its children hold, for the time of a `with` block.

    Args:
        process_id: Of the server.
        regions: Pattern of the names of its shared memory.
    """
    record, stopped = Record(), threading.Event()
    thread = threading.Thread(target=record.keep, args=(process_id, regions, stopped))
    thread.start()
    try:
        yield record
    finally:
        stopped.set()
        thread.join()
