"""One picture in tiles, and the maps that grow of their answers; pure."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .._calls.core import ClientCore, request_id_of
from .._calls.deadline import Deadline
from .._calls.flow import Flow
from .._config import check_request_id
from .._connection import TransportName
from .._errors import DeadlineExceededError, ModelNotReadyError
from .._model.metadata import ModelInfo, but_for_the_engine
from .._pictures.image import ImageSource
from .._pictures.picture import RgbImage
from .._results.segmentation import Segmentation
from .._results.timings import Timings
from .maps import CentralMaps, SurestMaps, TileAnswer
from .tiling import Span, Tile, TilePlan, Tiling, TilingOption, check_tiling, plan_tiles

_FAR: Final = Span(10**6, 10**6, 10**6, 10**6)
_FARTHEST: Final = Tile(_FAR, _FAR)
"""With the longest name that a tile has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TiledCall:
    """What a call wants, checked, with its one deadline for all tiles, and its steps as flows.

    Args:
        core: Of the client.
        tiling: How the picture is cut.
        model: As of the client's `segment`.
        model_version: As there.
        transport: As there.
        confidence: As there.
        request_id: Of the picture; tiles have it with their place.
        deadline: Of all tiles together.
        began_s: When the call began, by the monotonic clock.
    """

    core: ClientCore
    tiling: Tiling
    model: str | None
    model_version: str | None
    transport: TransportName | None
    confidence: bool
    request_id: str
    deadline: Deadline
    began_s: float

    @classmethod
    def of(
        cls,
        core: ClientCore,
        tiling: TilingOption,
        *,
        model: str | None,
        model_version: str | None,
        transport: TransportName | None,
        confidence: bool,
        timeout_s: float | None,
        request_id: str | None,
    ) -> TiledCall:
        """Check the arguments of `segment`.

        Raises:
            ConfigurationError: One of them can never work.
        """
        core.check_call(model, model_version, transport, timeout_s)
        call = cls(
            core=core,
            tiling=check_tiling(tiling),
            model=model,
            model_version=model_version,
            transport=transport,
            confidence=confidence,
            request_id=request_id_of(request_id),
            deadline=core.deadline(timeout_s),
            began_s=time.monotonic(),
        )
        check_request_id(call.request_id_of(_FARTHEST))
        return call

    def begin(self, image: ImageSource) -> Flow[TiledPicture]:
        """Read a picture, and plan its tiles by what the model says of itself."""
        with self.attributed():
            picture = yield from self.core.read_pixels(image)
            read_s = time.monotonic() - self.began_s
            model = yield from self.core.describe(
                model=self.model,
                model_version=self.model_version,
                timeout_s=self.deadline.require_s(),
            )
            return TiledPicture(self, picture, model, read_s=read_s)

    def segment(
        self, pixels_hwc: npt.NDArray[np.uint8], tile: Tile, *, confidence: bool
    ) -> Flow[TileAnswer]:
        """Send one tile."""
        with self.attributed(tile):
            answer = yield from self.core.segment(
                pixels_hwc,
                model=self.model,
                model_version=self.model_version,
                transport=self.transport,
                confidence=confidence,
                timeout_s=self.deadline.require_s(),
                request_id=self.request_id_of(tile),
            )
            return TileAnswer.of(answer)

    def request_id_of(self, tile: Tile) -> str:
        """Return the identifier of a tile's request: the picture's, and where the tile begins."""
        return f"{self.request_id}.y{tile.rows.start}x{tile.columns.start}"

    def attributed(self, tile: Tile | None = None) -> AbstractContextManager[None]:
        """Write into every error to which request it belongs: a tile's, or the whole picture's."""
        request_id = self.request_id if tile is None else self.request_id_of(tile)
        return self.core.attributed(self.model, request_id)


class TiledPicture:
    """A picture, its tiles, and the maps that grow of their answers.

    Args:
        call: What is wanted.
        picture: Its pixels.
        model: What the server says of its model, by which the tiles are planned.
        read_s: Seconds that reading the picture took.
    """

    def __init__(
        self, call: TiledCall, picture: RgbImage, model: ModelInfo, *, read_s: float
    ) -> None:
        self._call, self._picture, self._model = call, picture, model
        self._read_s, self._attempts, self._planned_s = read_s, 0, time.monotonic()
        self.plan: TilePlan = plan_tiles(picture.size, model, call.tiling)
        self._by_weight = self.plan.report.blend == "confidence" and self.tile_count > 1
        maps = SurestMaps if self._by_weight else CentralMaps
        self._maps = maps(self.plan, confidence=call.confidence)
        self._done = 0
        self._version = ""

    @property
    def tile_count(self) -> int:
        """How many tiles there are."""
        return self.plan.report.tile_count

    @property
    def max_in_flight(self) -> int:
        """How many tiles are with the server at once."""
        return min(self._call.tiling.max_in_flight, self.tile_count)

    @property
    def _asks_for_confidence(self) -> bool:
        """Whether every tile's confidence is needed."""
        return self._call.confidence or self._by_weight

    def segment(self, tile: Tile) -> Flow[TileAnswer]:
        """Send one tile."""
        rows, columns = tile.rows, tile.columns
        pixels_hwc = self._picture.array_hwc[rows.start : rows.stop, columns.start : columns.stop]
        return self._call.segment(pixels_hwc, tile, confidence=self._asks_for_confidence)

    def place(self, tile: Tile, answer: TileAnswer) -> None:
        """Put a tile's answer into the maps; tiles come in the plan's order.

        Raises:
            ModelNotReadyError: It is of another model than the other tiles.
        """
        with self._call.attributed(tile):
            self._check_build(answer)
        self._attempts += answer.attempts
        self._maps.place(tile, answer)
        self._done += 1
        if self._call.tiling.on_progress is not None:
            self._call.tiling.on_progress(self._done, self.tile_count)

    def _check_build(self, answer: TileAnswer) -> None:
        model, version = self._model, self._version
        if not self._done and but_for_the_engine(answer.model) == but_for_the_engine(model):
            # The plan goes for any engine of the model, and all tiles for the first one's.
            model, version = answer.model, answer.model_version
        if (answer.model, answer.model_version) != (model, version):
            raise ModelNotReadyError(
                f"model '{self._model.name}' was replaced while the tiles of a picture were on "
                "their way, or its servers have builds of their own; segment the picture again, or "
                "by one server",
                retryable=True,
            )
        self._model, self._version = model, version

    def out_of_time(self) -> DeadlineExceededError:
        """Return the error of a call whose deadline came before its last tile."""
        error = DeadlineExceededError(
            f"the call did not end within {self._call.deadline.timeout_s:g} s: {self._done} of "
            f"{self.tile_count} tiles are done; give it more (timeout_s)"
        )
        error.request_id = self._call.request_id
        error.model_name = self._model.name
        return error

    def result(self) -> Segmentation:
        """Return the whole."""
        now_s = time.monotonic()
        class_map, confidence = self._maps.class_map, self._maps.confidence
        for one in (class_map, confidence):
            if one is not None:
                one.flags.writeable = False
        return Segmentation(
            class_map=class_map,
            confidence=confidence,
            picture=self._picture,
            model=self._model,
            model_version=self._version,
            request_id=self._call.request_id,
            timings=Timings(
                read_s=self._read_s,
                attempt_s=now_s - self._planned_s,
                total_s=now_s - self._call.began_s,
                attempts=self._attempts,
            ),
            tiling=self.plan.report,
        )
