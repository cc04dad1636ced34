"""One picture in tiles, and the maps that grow of their answers; pure."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ._config import check_request_id
from ._deadline import Deadline
from ._errors import ModelNotReadyError
from ._metadata import ModelInfo
from ._picture import RgbImage
from ._result import Segmentation
from ._settings import ClientSettings, request_id_of
from ._tile_maps import CentralMaps, SurestMaps, TileAnswer
from ._tiling import Span, Tile, TilePlan, Tiling, TilingOption, check_tiling, plan_tiles

_FAR: Final = Span(10**6, 10**6, 10**6, 10**6)
_FARTHEST: Final = Tile(_FAR, _FAR)
"""With the longest name that a tile has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TiledCall:
    """What a call wants, checked, with its one deadline for all tiles."""

    settings: ClientSettings
    tiling: Tiling
    confidence: bool
    request_id: str
    deadline: Deadline

    @classmethod
    def of(
        cls,
        settings: ClientSettings,
        tiling: TilingOption,
        *,
        confidence: bool,
        timeout_s: float | None,
        request_id: str | None,
    ) -> TiledCall:
        """Check the arguments of `segment`.

        Raises:
            ConfigurationError: One of them can never work.
        """
        call = cls(
            settings=settings,
            tiling=check_tiling(tiling),
            confidence=confidence,
            request_id=request_id_of(request_id),
            deadline=settings.deadline(timeout_s),
        )
        check_request_id(call.request_id_of(_FARTHEST))
        return call

    def request_id_of(self, tile: Tile) -> str:
        """Return the identifier of a tile's request: the picture's, and where the tile begins."""
        return f"{self.request_id}.y{tile.rows.start}x{tile.columns.start}"

    def attributed(self, tile: Tile | None = None) -> AbstractContextManager[None]:
        """Write into every error to which request it belongs: a tile's, or the whole picture's."""
        return self.settings.attributed(
            self.request_id if tile is None else self.request_id_of(tile)
        )


class TiledPicture:
    """A picture, its tiles, and the maps that grow of their answers.

    Args:
        call: What is wanted.
        picture: Its pixels.
        model: What the server says of its model, by which the tiles are planned.
    """

    def __init__(self, call: TiledCall, picture: RgbImage, model: ModelInfo) -> None:
        self._call, self._picture, self._model = call, picture, model
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
    def asks_for_confidence(self) -> bool:
        """Whether every tile's confidence is needed."""
        return self._call.confidence or self._by_weight

    def pixels_of(self, tile: Tile) -> npt.NDArray[np.uint8]:
        """Return a tile's pixels: (h, w, 3) uint8, a view."""
        rows, columns = tile.rows, tile.columns
        return self._picture.array_hwc[rows.start : rows.stop, columns.start : columns.stop]

    def place(self, tile: Tile, answer: TileAnswer) -> None:
        """Put a tile's answer into the maps; tiles come in the plan's order.

        Raises:
            ModelNotReadyError: It is of another model than the other tiles.
        """
        version = self._version or answer.model_version
        if (answer.model, answer.model_version) != (self._model, version):
            raise ModelNotReadyError(
                f"model '{self._model.name}' was replaced while the tiles of a picture were on "
                "their way; segment the picture again",
                retryable=True,
            )
        self._version = version
        self._maps.place(tile, answer)
        self._done += 1
        if self._call.tiling.on_progress is not None:
            self._call.tiling.on_progress(self._done, self.tile_count)

    def result(self) -> Segmentation:
        """Return the whole."""
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
            tiling=self.plan.report,
        )
