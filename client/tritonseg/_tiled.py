"""One picture in tiles: each sent by the client's own `segment`, in threads or in asyncio."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from ._deadline import Deadline
from ._image import ImageSource, read_image
from ._many import in_tasks, in_threads
from ._metadata import ModelInfo
from ._picture import RgbImage
from ._result import Segmentation
from ._tile_maps import TileAnswer
from ._tiled_picture import TiledCall, TiledPicture
from ._tiling import Tile

Segment: TypeAlias = Callable[..., Segmentation]
"""A client's `segment`, without tiling."""
AioSegment: TypeAlias = Callable[..., Awaitable[Segmentation]]


def segment_in_tiles(
    call: TiledCall,
    image: ImageSource,
    *,
    segment: Segment,
    describe: Callable[[Deadline], ModelInfo],
) -> Segmentation:
    """Do what `segment` does with `tiling`, tiles in threads.

    The first tile that fails ends the call with its error; what has not begun by then never does.

    Raises:
        SegmentationError: As by `segment`; its `request_id` is the tile's.
    """
    with call.attributed():
        picture = read_image(image, call.settings.limits)
        tiled = TiledPicture(call, picture, describe(call.deadline))

    def answer_of(tile: Tile) -> TileAnswer:
        with call.attributed(tile):
            answer = segment(
                tiled.pixels_of(tile),
                confidence=tiled.asks_for_confidence,
                timeout_s=call.deadline.require_s(),
                request_id=call.request_id_of(tile),
            )
        return TileAnswer.of(answer)

    answers = in_threads(
        tiled.plan.tiles(),
        answer_of,
        max_in_flight=tiled.max_in_flight,
        ordered=True,
        on_error="raise",
    )
    with contextlib.closing(answers):
        for tile, answer in answers:
            with call.attributed(tile):
                tiled.place(tile, answer)
    return tiled.result()


async def segment_in_tasks(
    call: TiledCall,
    image: ImageSource,
    *,
    segment: AioSegment,
    describe: Callable[[Deadline], Awaitable[ModelInfo]],
    compute: Callable[[Callable[[], RgbImage]], Awaitable[RgbImage]],
) -> Segmentation:
    """Do what `segment` does with `tiling`, tiles in tasks; the first that fails cancels the rest.

    Raises:
        SegmentationError: As by `segment`; its `request_id` is the tile's.
    """
    with call.attributed():
        picture = await compute(lambda: read_image(image, call.settings.limits))
        tiled = TiledPicture(call, picture, await describe(call.deadline))

    async def answer_of(tile: Tile) -> TileAnswer:
        with call.attributed(tile):
            answer = await segment(
                tiled.pixels_of(tile),
                confidence=tiled.asks_for_confidence,
                timeout_s=call.deadline.require_s(),
                request_id=call.request_id_of(tile),
            )
        return TileAnswer.of(answer)

    answers = in_tasks(
        tiled.plan.tiles(),
        answer_of,
        max_in_flight=tiled.max_in_flight,
        ordered=True,
        on_error="raise",
    )
    async with contextlib.aclosing(answers):
        async for tile, answer in answers:
            with call.attributed(tile):
                tiled.place(tile, answer)
    return tiled.result()
