"""One picture in tiles, each a request of its own, side by side in threads or in asyncio."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable
from typing import Any, Protocol

from .._calls.flow import Flow
from .._calls.many import in_tasks, in_threads
from .._errors import DeadlineExceededError
from .._pictures.image import ImageSource
from .._results.segmentation import Segmentation
from .maps import TileAnswer
from .picture import TiledCall, TiledPicture
from .tiling import Tile


class Run(Protocol):
    """A transport's `run`."""

    def __call__(self, flow: Flow[Any], /) -> Any:
        """Make every step of a flow; return what it returns."""


class AioRun(Protocol):
    """The same of one for asyncio."""

    def __call__(self, flow: Flow[Any], /) -> Awaitable[Any]:
        """Make every step of a flow; return what it returns."""


def segment_in_tiles(call: TiledCall, image: ImageSource, run: Run) -> Segmentation:
    """Do what `segment` does with `tiling`, tiles in threads.

    The first tile that fails ends the call with its error; what has not begun by then never does.

    Raises:
        SegmentationError: As by `segment`; its `request_id` is the tile's.
    """
    tiled: TiledPicture = run(call.begin(image))

    def answer_of(tile: Tile) -> TileAnswer:
        answer: TileAnswer = run(tiled.segment(tile))
        return answer

    answers = in_threads(
        tiled.plan.tiles(),
        answer_of,
        max_in_flight=tiled.max_in_flight,
        ordered=True,
        on_error="raise",
    )
    try:
        with contextlib.closing(answers):
            for tile, answer in answers:
                tiled.place(tile, answer)
    except DeadlineExceededError as error:
        raise tiled.out_of_time() from error
    return tiled.result()


async def segment_in_tasks(call: TiledCall, image: ImageSource, run: AioRun) -> Segmentation:
    """Do what `segment` does with `tiling`, tiles in tasks; the first that fails cancels the rest.

    Raises:
        SegmentationError: As by `segment`; its `request_id` is the tile's.
    """
    tiled: TiledPicture = await run(call.begin(image))

    async def answer_of(tile: Tile) -> TileAnswer:
        answer: TileAnswer = await run(tiled.segment(tile))
        return answer

    answers = in_tasks(
        tiled.plan.tiles(),
        answer_of,
        max_in_flight=tiled.max_in_flight,
        ordered=True,
        on_error="raise",
    )
    try:
        async with contextlib.aclosing(answers):
            async for tile, answer in answers:
                tiled.place(tile, answer)
    except DeadlineExceededError as error:
        raise tiled.out_of_time() from error
    return tiled.result()
