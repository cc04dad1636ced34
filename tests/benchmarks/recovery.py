"""How soon after a load a server answers as fast as before it."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import tritonclient.grpc as triton
from open_loop import CALLERS, REFUSED, Caller, count_error
from tritonclient.utils import InferenceServerException

WINDOW_S: Final = 3.0
FULL_SPEED: Final = 0.9
"""Share of the capacity in a window. 3 s of the demo's model are some fifty answers, and of an idle
server's closed loop the windows differ by a few in a hundred; with 0.95, or half a second and eight
answers, chance would decide, and longer windows could not tell one second from five."""

_PAUSE_S: Final = 0.05
"""Of a caller that was refused. One that asks again at once takes the time of those let in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """A closed loop in which callers may be refused.

    Attributes:
        ends_s: When each answer came, in order, since a moment.
        refused: How often a caller was.
        others: Count of what is neither, by status and message.
        wrong: Answers with another mask than that of an idle server.
    """

    ends_s: Sequence[float]
    refused: int
    others: Counter[str]
    wrong: int


def closed_loop(
    caller: Caller,
    clients: Sequence[triton.InferenceServerClient],
    *,
    since_s: float,
    seconds: float,
) -> Answers:
    """Let `CALLERS` ask again as soon as they are answered, and soon after they are refused.

    Args:
        caller: Knows what to ask.
        clients: One for each.
        since_s: The moment from which times count, on `time.perf_counter`.
        seconds: How long.
    """
    ends_s: list[float] = []
    wrong, errors = 0, Counter[str]()
    lock, deadline_s = threading.Lock(), time.perf_counter() + seconds

    def ask(client: triton.InferenceServerClient) -> None:
        nonlocal wrong
        while time.perf_counter() < deadline_s:
            try:
                mask = caller.ask(client, 0)
            except InferenceServerException as error:
                with lock:
                    count_error(errors, error)
                time.sleep(_PAUSE_S)
                continue
            with lock:
                ends_s.append(time.perf_counter() - since_s)
                wrong += not caller.is_mask(0, mask)

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(ask, clients[:CALLERS]))
    refusals = {reason: count for reason, count in errors.items() if reason.startswith(REFUSED)}
    return Answers(
        ends_s=sorted(ends_s),
        refused=sum(refusals.values()),
        others=errors - Counter(refusals),
        wrong=wrong,
    )


def full_speed_after_s(ends_s: Sequence[float], capacity_per_s: float) -> float | None:
    """Return from when on a window is at full speed, None if none is.

    Args:
        ends_s: When each answer came since the load ended, in order.
        capacity_per_s: Answers a second before the load.

    Returns:
        The earliest begin of a window of `WINDOW_S` with `FULL_SPEED` of the capacity's answers.
    """
    needed = math.ceil(FULL_SPEED * capacity_per_s * WINDOW_S)
    for first_s, last_s in zip(ends_s, ends_s[needed - 1 :], strict=False):
        if last_s - first_s <= WINDOW_S:
            return max(0.0, last_s - WINDOW_S)
    return None


def slowest_window(ends_s: Sequence[float]) -> float:
    """Return the lowest share of the mean rate that a window has, where nothing changed."""
    begin_s, end_s = ends_s[0], ends_s[-1]
    mean = (len(ends_s) - 1) / (end_s - begin_s)
    counts = [
        sum(end >= one and end < one + WINDOW_S for end in ends_s)
        for one in ends_s
        if one + WINDOW_S <= end_s
    ]
    return min(counts) / WINDOW_S / mean
