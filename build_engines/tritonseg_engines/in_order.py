"""Work that threads share, whose results come in the order in which it was given out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

BEGUN_PER_IN_FLIGHT: Final = 2
"""How many items may be begun and not taken yet, so that one slow item idles nobody."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_order(
    items: Iterable[_Item],
    work: Callable[[_Item], _Result],
    max_in_flight: int,
    pool: ThreadPoolExecutor | None = None,
) -> Iterator[_Result]:
    """Yield what comes of each, worked on by threads and never far ahead of what is taken.

    Args:
        items: What is to be worked on.
        work: What is done with each; what it raises is raised in its turn, and ends all.
        max_in_flight: Threads.
        pool: Of as many, for who calls this often: threads are slow to start where others are busy.
            None for one of its own.
    """
    threads = pool or ThreadPoolExecutor(max_in_flight, thread_name_prefix="in-order")
    window: deque[Future[_Result]] = deque()
    try:
        for item in items:
            window.append(threads.submit(work, item))
            if len(window) >= BEGUN_PER_IN_FLIGHT * max_in_flight:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        for future in window:
            future.cancel()
        if pool is None:
            threads.shutdown(wait=False, cancel_futures=True)
