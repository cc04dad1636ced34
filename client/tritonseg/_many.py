"""Many pictures at once, in threads or in asyncio: bounded, and no faster than they are taken."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final, Literal, TypeAlias, TypeVar

from ._config import check_choice, check_int
from ._errors import SegmentationError

OnError: TypeAlias = Literal["return", "raise"]
MAX_IN_FLIGHT: Final = 1024

_BEGUN_PER_IN_FLIGHT: Final = 2
"""How many may be begun or done and not taken yet, so that one slow picture idles nobody."""

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")


def check_many(max_in_flight: int, on_error: str) -> None:
    """Raise `ConfigurationError` for what `segment_many` cannot work with."""
    check_int("max_in_flight", max_in_flight, 1, MAX_IN_FLIGHT)
    check_choice("on_error", on_error, ("return", "raise"))


def in_threads(
    items: Iterable[_Item],
    work: Callable[[_Item], _Outcome],
    *,
    max_in_flight: int,
    ordered: bool,
    on_error: OnError,
) -> Iterator[tuple[_Item, _Outcome]]:
    """Yield each item with what comes of it, worked on by `max_in_flight` threads.

    Items are taken from their iterator in the calling thread, and only while no more than twice
    as many are begun and not yet taken. What has begun when the caller stops goes on unheard.
    """
    source, begun = iter(items), deque[tuple[_Item, "Future[_Outcome]"]]()
    pool = ThreadPoolExecutor(max_in_flight, thread_name_prefix="tritonseg")

    def begin_more() -> None:
        while len(begun) < _BEGUN_PER_IN_FLIGHT * max_in_flight:
            item = next(source)
            begun.append((item, pool.submit(work, item)))

    try:
        while True:
            with contextlib.suppress(StopIteration):
                begin_more()
            if not begun:
                return
            if not ordered:
                wait([future for _, future in begun], return_when=FIRST_COMPLETED)
                begun.rotate(-_first_done(begun))
            item, future = begun.popleft()
            yield item, _taken(future.result(), on_error)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


async def in_tasks(
    items: Iterable[_Item] | AsyncIterable[_Item],
    work: Callable[[_Item], Awaitable[_Outcome]],
    *,
    max_in_flight: int,
    ordered: bool,
    on_error: OnError,
) -> AsyncIterator[tuple[_Item, _Outcome]]:
    """Yield each item with what comes of it, worked on by `max_in_flight` tasks.

    As `in_threads`; what has begun when the caller stops is cancelled.
    """
    source, begun = _aiter(items), deque[tuple[_Item, "asyncio.Task[_Outcome]"]]()
    turn = asyncio.Semaphore(max_in_flight)

    async def work_in_turn(item: _Item) -> _Outcome:
        async with turn:
            return await work(item)

    async def begin_more() -> None:
        while len(begun) < _BEGUN_PER_IN_FLIGHT * max_in_flight:
            item = await source.__anext__()
            begun.append((item, asyncio.ensure_future(work_in_turn(item))))

    try:
        while True:
            with contextlib.suppress(StopAsyncIteration):
                await begin_more()
            if not begun:
                return
            if not ordered:
                await asyncio.wait([task for _, task in begun], return_when=FIRST_COMPLETED)
                begun.rotate(-_first_done(begun))
            item, task = begun[0]
            outcome = _taken(await task, on_error)
            begun.popleft()
            yield item, outcome
    finally:
        tasks = [task for _, task in begun]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _taken(outcome: _Outcome, on_error: OnError) -> _Outcome:
    """Return an outcome, or raise an error that shall not be returned."""
    if on_error == "raise" and isinstance(outcome, SegmentationError):
        raise outcome
    return outcome


def _first_done(begun: Iterable[tuple[object, Future[_Outcome] | asyncio.Task[_Outcome]]]) -> int:
    return next(position for position, (_, future) in enumerate(begun) if future.done())


async def _aiter(items: Iterable[_Item] | AsyncIterable[_Item]) -> AsyncIterator[_Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
