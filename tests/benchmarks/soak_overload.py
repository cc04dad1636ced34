"""Half an hour at twice the capacity: what is refused, how, what grows, and what comes after.

The load is that of `overload.py` for the demo's model, pictures of one size as pixels. Besides it
the client itself asks now and then, without retries, so that its errors are those of callers. The
first sixth, five minutes of thirty, is the time in which memory may still grow.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tritonclient.grpc as triton
from held import NO_REGION, QUANTITIES, Course, Held, Record, recorded
from open_loop import CALLERS, CONNECTIONS, DEADLINE_S, OVERLOAD, Outcome, alone_ms, open_loop
from overload import Built, Load, build
from pace import steady_rate
from recovery import Answers, closed_loop, slowest_window

from tritonseg import RetryPolicy, SegmentationClient, SegmentationError
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.target import ServingLayout

SECONDS: Final = 1800.0
QUICK_SECONDS: Final = 60.0
LEAST_SECONDS: Final = 30.0
SETTLING: Final = 1 / 6
"""Share of the load in which what is held may grow."""
ALONE_S: Final = 30.0
"""Some hundreds of answers, so that their slowest hundredth is a few."""
CAPACITY_S: Final = 20.0
RECOVERY_S: Final = 20.0
MASK, WRONG_MASK, FOREIGN = "mask", "wrong mask", "foreign exception"

_CLIENT_CALLS: Final = 360
_LEAST_BETWEEN_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Soaked:
    """What a soak saw.

    Attributes:
        seconds: How long the load was.
        idle_ms: Times of one caller before it, in milliseconds.
        before_per_s: Capacity before it.
        slowest_window: Lowest share of that in a window of its loop.
        outcome: Of the load.
        called: What the client got during it, by the name of the error.
        courses: Of what was held, by `QUANTITIES`.
        asking_mib: Resident memory of this process before and after, which counts for nothing.
        after: The closed loop behind it.
    """

    seconds: float
    idle_ms: Any
    before_per_s: float
    slowest_window: float
    outcome: Outcome
    called: Counter[str]
    courses: dict[str, Course]
    asking_mib: tuple[float, float]
    after: Answers


def measure(folder: Path, seconds: float, layout: ServingLayout) -> Soaked:
    """Load a server of one model in one layout."""
    built = build(Load(layout=layout), "demo", folder)
    with ExitStack() as stack:
        config = ServerConfig(repositories=(built.repository,))
        server = stack.enter_context(TritonServer(config))
        clients = [
            stack.enter_context(triton.InferenceServerClient(server.grpc_url))
            for _ in range(CONNECTIONS)
        ]
        caller = built.caller()
        caller.learn(clients[0])
        idle_ms = alone_ms(caller, clients[0], min(ALONE_S, seconds / 2))
        before = closed_loop(caller, clients, since_s=time.perf_counter(), seconds=CAPACITY_S)
        before_per_s = steady_rate(before.ends_s, CALLERS)
        first_mib = _own_mib()
        regions = f"*tritonseg_{os.getpid()}_*"
        with (
            recorded(server.pid, regions) as record,
            _calling(server.grpc_url, built, seconds) as called,
        ):
            outcome = open_loop(caller, clients, OVERLOAD * before_per_s, seconds)
        asking_mib = (first_mib, _own_mib())
        after = closed_loop(caller, clients, since_s=outcome.ended_s, seconds=RECOVERY_S)
    return Soaked(
        seconds=seconds,
        idle_ms=idle_ms,
        before_per_s=before_per_s,
        slowest_window=slowest_window(before.ends_s),
        outcome=outcome,
        called=called,
        courses=_courses(record, seconds),
        asking_mib=asking_mib,
        after=after,
    )


def _courses(record: Record, seconds: float) -> dict[str, Course]:
    return {name: record.course(name, SETTLING * seconds) for name in QUANTITIES.values()}


def _own_mib() -> float:
    return Held.by([os.getpid()], NO_REGION).rss_mib


@contextmanager
def _calling(url: str, built: Built, seconds: float) -> Iterator[Counter[str]]:
    """Call by the client now and then, for the time of a `with` block; count what it gets."""
    found: Counter[str] = Counter()
    stopped, image_hwc = threading.Event(), built.images_hwc[0]
    between_s = max(_LEAST_BETWEEN_S, seconds / _CLIENT_CALLS)
    once = RetryPolicy(max_retries=0)
    with SegmentationClient(url, model=built.name, retry=once, timeout_s=DEADLINE_S) as client:
        expected = client.segment(image_hwc).class_map

        def call() -> None:
            while not stopped.wait(between_s):
                try:
                    class_map = client.segment(image_hwc).class_map
                    found[MASK if np.array_equal(class_map, expected) else WRONG_MASK] += 1
                except SegmentationError as error:
                    found[type(error).__name__] += 1
                except Exception as error:  # noqa: BLE001 - which must not be
                    found[f"{FOREIGN}: {error!r}"] += 1

        thread = threading.Thread(target=call)
        thread.start()
        try:
            yield found
        finally:
            stopped.set()
            thread.join()
