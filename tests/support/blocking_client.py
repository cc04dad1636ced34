"""The asyncio client called from threads, so that every test of the other is one of it, too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

from tritonseg import AsyncSegmentationClient, ClientStatistics, ModelInfo, Segmentation


class LoopThread:
    """An event loop that runs in a thread of its own until the process ends."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def wait_for(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()


class BlockingClient:
    """`SegmentationClient`'s methods by way of `AsyncSegmentationClient`'s."""

    def __init__(self, *arguments: Any, thread: LoopThread, **options: Any) -> None:
        self._thread = thread
        self.client = AsyncSegmentationClient(*arguments, **options)

    def segment(self, *arguments: Any, **options: Any) -> Segmentation:
        result: Segmentation = self._thread.wait_for(self.client.segment(*arguments, **options))
        return result

    def segment_many(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        async def begun() -> Any:
            return self.client.segment_many(*arguments, **options)

        pairs = self._thread.wait_for(begun())

        def taken() -> Iterator[Any]:
            try:
                while True:
                    try:
                        yield self._thread.wait_for(pairs.__anext__())
                    except StopAsyncIteration:
                        return
            finally:
                self._thread.wait_for(pairs.aclose())

        return taken()

    @property
    def model(self) -> ModelInfo:
        return self.describe()

    def describe(self, **options: Any) -> ModelInfo:
        model: ModelInfo = self._thread.wait_for(self.client.describe(**options))
        return model

    def models(self, **options: Any) -> tuple[ModelInfo, ...]:
        models: tuple[ModelInfo, ...] = self._thread.wait_for(self.client.models(**options))
        return models

    @property
    def statistics(self) -> ClientStatistics:
        return self.client.statistics

    def is_ready(self, **options: Any) -> bool:
        return bool(self._thread.wait_for(self.client.is_ready(**options)))

    def wait_ready(self, **options: Any) -> None:
        self._thread.wait_for(self.client.wait_ready(**options))

    def close(self) -> None:
        self._thread.wait_for(self.client.close())

    def __enter__(self) -> BlockingClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self.client)
