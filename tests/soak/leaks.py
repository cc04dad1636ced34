"""What ten thousand requests leave in the process of the client, and a control that leaks."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import re
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
from callers import MASK, Load
from figures import KINDS, Figure

CALLERS = 4
MAX_GROWTH_KIB = 1024
# gRPC's pool takes one more when all of its threads are busy, on a machine that is short of cores
# at any time; it is no leak, which would be one for every so many requests.
MAX_MORE_THREADS = 2
SHARED_MEMORY = Path("/dev/shm")
_OF_A_SERVER = re.compile(r"tritonseg_\d+_[0-9a-f]{8}_")


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What a process holds."""

    rss_kib: int
    descriptors: int
    threads: int
    regions: frozenset[str]

    @classmethod
    def now(cls) -> Held:
        """Return what this one does."""
        gc.collect()
        process = psutil.Process()
        return cls(
            rss_kib=process.memory_info().rss // 1024,
            descriptors=process.num_fds(),
            threads=process.num_threads(),
            regions=frozenset(
                file.name for file in SHARED_MEMORY.iterdir() if not _OF_A_SERVER.search(file.name)
            ),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """What a process holds more than before."""

    rss_kib: int
    descriptors: int
    threads: int
    regions: int

    @property
    def leaks(self) -> list[str]:
        """What grew beyond what is allowed."""
        allowed = {
            "rss_kib": MAX_GROWTH_KIB,
            "descriptors": 0,
            "threads": MAX_MORE_THREADS,
            "regions": 0,
        }
        return [name for name, limit in allowed.items() if getattr(self, name) > limit]


def measure(url: str, *, warm_up: int = 1_000, requests: int = 10_000) -> list[Figure]:
    """Return figures for each client, and for the control."""
    figures = [_figure(kind, growth_in_process(kind, url, warm_up, requests), requests)
               for kind in KINDS]  # fmt: skip
    growth = growth_in_process("threads", url, warm_up, requests, leaking=True)
    control = Figure(
        what="the same with a leak of each kind: how many are found",
        kind="control",
        found=str(len(growth.leaks)),
        limit="4",
        is_kept=len(growth.leaks) == 4,
    )
    return [*figures, control]


def _figure(kind: str, growth: Growth, requests: int) -> Figure:
    return Figure(
        what=f"{requests} requests: memory, descriptors, threads, /dev/shm",
        kind=kind,
        found=f"{growth.rss_kib:+} KiB, {growth.descriptors:+}, {growth.threads:+}, "
        f"{growth.regions:+}",
        limit=f"+{MAX_GROWTH_KIB} KiB, +0, +{MAX_MORE_THREADS}, +0",
        is_kept=not growth.leaks,
    )


def growth_in_process(
    kind: str, url: str, warm_up: int, requests: int, *, leaking: bool = False
) -> Growth:
    """Measure in a new process, whose memory has no holes in which a leak would hide."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_growth, kind, url, warm_up, requests, leaking).result()


def _growth(kind: str, url: str, warm_up: int, requests: int, leaking: bool) -> Growth:
    held: list[Held] = []
    leak = _leak() if leaking else lambda number: None

    def numbers() -> itertools.chain[int]:
        for number in range(warm_up + requests):
            if number == warm_up:
                held.append(Held.now())
            leak(number)
            yield number
        held.append(Held.now())

    # The last number is given out while the others' calls are still under way, as the first is.
    try:
        found = Load(kind=kind, url=url, callers=CALLERS).outcomes(numbers())
    finally:
        for region in SHARED_MEMORY.glob(_leaked_region("*")):
            region.unlink()
    if found[MASK] != warm_up + requests:
        raise RuntimeError(f"not every call was answered: {found}")
    before, after = held
    return Growth(
        rss_kib=after.rss_kib - before.rss_kib,
        descriptors=after.descriptors - before.descriptors,
        threads=after.threads - before.threads,
        regions=len(after.regions - before.regions),
    )


def _leaked_region(number: object) -> str:
    return f"tritonseg_leak_{os.getpid()}_{number}"


def _leak() -> Callable[[int], None]:
    """Return what leaks a KiB for each request, and of everything else one for each hundred."""
    kept: list[object] = []

    def leak(number: int) -> None:
        kept.append(os.urandom(1024))
        if number % 100 == 0:
            kept.append(socket.socket())
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            (SHARED_MEMORY / _leaked_region(number)).touch()

    return leak
