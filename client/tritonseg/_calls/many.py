"""Many pictures at once, in threads or in asyncio: bounded, and no faster than they are taken."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np

from .._config import check_choice, check_int
from .._errors import ConfigurationError, SegmentationError

OnError: TypeAlias = Literal["return", "raise"]
MAX_IN_FLIGHT: Final = 1024

_BEGUN_PER_IN_FLIGHT: Final = 2
"""How many may be begun or done and not taken yet, so that one slow picture idles nobody."""

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")
_Pending = TypeVar("_Pending", bound="Future[Any] | asyncio.Task[Any]")


def check_many(images: object, max_in_flight: int, on_error: str) -> None:
    """Raise `ConfigurationError` for what `segment_many` cannot work with."""
    if isinstance(images, (str, bytes, bytearray, memoryview, np.ndarray)):  # letters, bytes, rows
        raise ConfigurationError(
            f"images must be an iterable of pictures, got one of type {type(images).__name__}: "
            "pass [image], or call segment"
        )
    if not isinstance(images, (Iterable, AsyncIterable)):
        raise ConfigurationError(
            f"images must be an iterable of pictures, got {type(images).__name__}"
        )
    check_int("max_in_flight", max_in_flight, 1, MAX_IN_FLIGHT)
    check_choice("on_error", on_error, ("return", "raise"))


def in_threads(
    items: Iterable[_Item],
    work: Callable[[_Item], _Outcome],
    *,
    max_in_flight: int,
    ordered: bool,
    on_error: OnError,
) -> Generator[tuple[_Item, _Outcome], None, None]:
    """Yield each item with what comes of it, worked on by `max_in_flight` threads.

    Items are taken from their iterator in the calling thread, one at a time, and only while nothing
    is ready to be yielded and less than twice as many are begun. What it raises comes after what
    has begun. What has begun when the caller stops goes on unheard.
    """
    source = iter(items)
    window: _Window[_Item, Future[_Outcome]] = _Window(max_in_flight, ordered=ordered)
    pool = ThreadPoolExecutor(max_in_flight, thread_name_prefix="tritonseg")
    end: Exception | None = None
    try:
        while window.begun or end is None:
            if end is None and not window.is_full and not window.has_ready:
                try:
                    item = next(source)
                except Exception as error:  # noqa: BLE001 - raised once all is yielded
                    end = error
                else:
                    window.begun.append((item, pool.submit(work, item)))
                continue
            if not window.has_ready:
                wait(window.awaited, return_when=FIRST_COMPLETED)
            item, future = window.pop_ready()
            yield item, _taken(future.result(), on_error)
        if not isinstance(end, StopIteration):
            raise end
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


async def in_tasks(
    items: Iterable[_Item] | AsyncIterable[_Item],
    work: Callable[[_Item], Awaitable[_Outcome]],
    *,
    max_in_flight: int,
    ordered: bool,
    on_error: OnError,
) -> AsyncGenerator[tuple[_Item, _Outcome], None]:
    """Yield each item with what comes of it, worked on by `max_in_flight` tasks.

    As `in_threads`, but items are awaited while results are; what has begun when the caller stops
    is cancelled.
    """
    window: _Window[_Item, asyncio.Task[_Outcome]] = _Window(max_in_flight, ordered=ordered)
    source, turn = _Source(items), asyncio.Semaphore(max_in_flight)

    async def work_in_turn(item: _Item) -> _Outcome:
        async with turn:
            return await work(item)

    try:
        while window.begun or not source.is_over:
            if not window.is_full:
                source.ask()
            if not window.has_ready:
                await asyncio.wait({*window.awaited, *source.awaited}, return_when=FIRST_COMPLETED)
            for item in source.received():
                window.begun.append((item, asyncio.ensure_future(work_in_turn(item))))
            if window.has_ready:
                item, task = window.pop_ready()
                yield item, _taken(await task, on_error)
        source.raise_error()
    finally:
        tasks = [*window.all_pending, *source.awaited]
        for pending in tasks:
            pending.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Window(Generic[_Item, _Pending]):
    """The items that have begun and are not yielded yet, oldest first."""

    def __init__(self, max_in_flight: int, *, ordered: bool) -> None:
        self.begun: deque[tuple[_Item, _Pending]] = deque()
        self._limit = _BEGUN_PER_IN_FLIGHT * max_in_flight
        self._ordered = ordered

    @property
    def is_full(self) -> bool:
        """Whether no more may begin."""
        return len(self.begun) >= self._limit

    @property
    def awaited(self) -> list[_Pending]:
        """What may be yielded next: the oldest, or any."""
        eligible = islice(self.begun, 1 if self._ordered else None)
        return [pending for _, pending in eligible]

    @property
    def all_pending(self) -> list[_Pending]:
        """All that has begun."""
        return [pending for _, pending in self.begun]

    @property
    def has_ready(self) -> bool:
        """Whether something can be yielded now."""
        return any(pending.done() for pending in self.awaited)

    def pop_ready(self) -> tuple[_Item, _Pending]:
        """Remove and return the oldest of what can be yielded."""
        done = (index for index, pending in enumerate(self.awaited) if pending.done())
        index = next(done)
        entry = self.begun[index]
        del self.begun[index]
        return entry


class _Source(Generic[_Item]):
    """An iterable, asked for one item at a time without waiting for it."""

    def __init__(self, items: Iterable[_Item] | AsyncIterable[_Item]) -> None:
        self._items = _aiter(items)
        self._coming: asyncio.Task[_Item | _End] | None = None
        self._error: Exception | None = None
        self.is_over = False

    def ask(self) -> None:
        """Ask for the next item, unless that was done or there is none."""
        if self._coming is None and not self.is_over:
            self._coming = asyncio.ensure_future(self._next())

    @property
    def awaited(self) -> list[asyncio.Task[_Item | _End]]:
        """The item that was asked for and has not been received."""
        return [] if self._coming is None else [self._coming]

    def received(self) -> Iterator[_Item]:
        """Yield the item that was asked for, if it has come."""
        if self._coming is None or not self._coming.done():
            return
        coming, self._coming = self._coming, None
        item = coming.result()
        if isinstance(item, _End):
            self.is_over, self._error = True, item.error
        else:
            yield item

    def raise_error(self) -> None:
        """Raise what the iterable raised, if it did."""
        if self._error is not None:
            raise self._error

    async def _next(self) -> _Item | _End:
        try:
            return await self._items.__anext__()
        except StopAsyncIteration:
            return _End(None)
        except Exception as error:  # noqa: BLE001 - raised once all is yielded
            return _End(error)


class _End(NamedTuple):
    error: Exception | None


def _taken(outcome: _Outcome, on_error: OnError) -> _Outcome:
    """Return an outcome, or raise an error that shall not be returned."""
    if on_error == "raise" and isinstance(outcome, SegmentationError):
        raise outcome
    return outcome


async def _aiter(items: Iterable[_Item] | AsyncIterable[_Item]) -> AsyncIterator[_Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
