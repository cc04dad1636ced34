"""Many callers of one client, in threads or in tasks: what became of each of their calls."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from red_model import RED_MODEL, red_picture
from tritonseg import AsyncSegmentationClient, Segmentation, SegmentationClient, SegmentationError

MASK, WRONG_MASK, FOREIGN = "mask", "wrong mask", "foreign exception"
GRACE_S = 0.25
LOOP_THREADS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What became of a call: `MASK`, the name of an error of ours, or what must not be."""

    begin_s: float
    end_s: float
    outcome: str


class Calls(Protocol):
    """Where calls appear as they end."""

    def append(self, call: Call, /) -> None:
        """Add one."""


class Tally:
    """Counts calls by what became of them, so that the memory of many is not that of a list."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def append(self, call: Call) -> None:
        """Count one."""
        with self._lock:
            self.outcomes[call.outcome] += 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """Callers that ask again as soon as they are answered.

    Attributes:
        kind: Of `figures.KINDS`.
        url: Of the server, or servers, of the red model.
        callers: How many.
        timeout_s: Of each call.
        pause_s: What a caller does after an error, so that an outage is no busy loop.
    """

    kind: str
    url: str
    callers: int
    timeout_s: float = 30.0
    pause_s: float = 0.0

    def outcomes(self, numbers: Iterable[int]) -> Counter[str]:
        """Ask for the pictures of these numbers; count what became of the calls, and keep none."""
        tally = Tally()
        self.run(numbers, tally)
        return tally.outcomes

    def run(self, numbers: Iterable[int], calls: Calls) -> None:
        """Ask for the pictures of these numbers, one client for all.

        Args:
            numbers: One picture each; taken by whichever caller is free, in any thread.
            calls: Where they appear as they end.
        """
        if self.kind == "threads":
            self._in_threads(_Taking(numbers), calls)
        else:
            asyncio.run(self._in_tasks(_Taking(numbers), calls))

    def begin(self, numbers: Iterable[int], calls: Calls) -> threading.Thread:
        """Do so in the background."""
        thread = threading.Thread(target=self.run, args=(numbers, calls), name="load")
        thread.start()
        return thread

    def late_s(self, calls: Iterable[Call]) -> float:
        """Return by how much the slowest call went beyond its time-out; below 0 if none did."""
        return max(call.end_s - call.begin_s for call in calls) - self.timeout_s

    def _in_threads(self, taking: _Taking, calls: Calls) -> None:
        with (
            SegmentationClient(self.url, model=RED_MODEL, timeout_s=self.timeout_s) as client,
            ThreadPoolExecutor(self.callers) as pool,
        ):

            def ask() -> None:
                while (number := taking.next()) is not None:
                    picture, begin_s = red_picture(number), time.monotonic()
                    try:
                        outcome = judged(client.segment(picture), picture)
                    except Exception as error:  # noqa: BLE001 - which must not be
                        outcome = _of_error(error)
                    calls.append(Call(begin_s=begin_s, end_s=time.monotonic(), outcome=outcome))
                    if outcome is not MASK:
                        time.sleep(self.pause_s)

            for caller in [pool.submit(ask) for _ in range(self.callers)]:
                caller.result()

    async def _in_tasks(self, taking: _Taking, calls: Calls) -> None:
        async with AsyncSegmentationClient(
            self.url, model=RED_MODEL, timeout_s=self.timeout_s
        ) as client:

            async def ask() -> None:
                while (number := taking.next()) is not None:
                    picture, begin_s = red_picture(number), time.monotonic()
                    try:
                        outcome = judged(await client.segment(picture), picture)
                    except Exception as error:  # noqa: BLE001 - which must not be
                        outcome = _of_error(error)
                    calls.append(Call(begin_s=begin_s, end_s=time.monotonic(), outcome=outcome))
                    if outcome is not MASK:
                        await asyncio.sleep(self.pause_s)

            await _all_threads_of_the_loop()
            await asyncio.gather(*(ask() for _ in range(self.callers)))


def until(stopped: threading.Event) -> Iterable[int]:
    """Yield numbers until an event."""
    return itertools.takewhile(lambda _: not stopped.is_set(), itertools.count())


def outcomes(calls: Iterable[Call]) -> Counter[str]:
    """Count what became of calls."""
    return Counter(call.outcome for call in calls)


def judged(result: Segmentation, picture: np.ndarray) -> str:
    """Tell whether a mask is that of its picture."""
    return MASK if np.array_equal(result.class_map, picture[..., 0]) else WRONG_MASK


def _of_error(error: Exception) -> str:
    if isinstance(error, SegmentationError):
        return type(error).__name__
    return f"{FOREIGN}: {error!r}"


async def _all_threads_of_the_loop() -> None:
    """Let the loop start the threads in which pictures are decoded, which it does one by one."""
    barrier = threading.Barrier(LOOP_THREADS)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(LOOP_THREADS))
    await asyncio.gather(*(loop.run_in_executor(None, barrier.wait) for _ in range(LOOP_THREADS)))


class _Taking:
    """An iterable that many threads take from."""

    def __init__(self, items: Iterable[int]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()

    def next(self) -> int | None:
        with self._lock:
            return next(self._items, None)
