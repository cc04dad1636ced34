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
from ._tiling import Span, Tile, TilePlan, Tiling, TilingOption, check_tiling, plan_tiles

_LARGEST_WEIGHT: Final = 255
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
        self._class_map = np.zeros(picture.size, np.uint8)
        self._confidence = np.zeros(picture.size, np.uint8) if call.confidence else None
        self._weights = np.zeros(picture.size, np.uint16) if self._by_weight else None
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
        return self._picture.array_hwc[_whole(tile.rows), _whole(tile.columns)]

    def place(self, tile: Tile, answer: Segmentation) -> None:
        """Put a tile's answer into the maps.

        Raises:
            ModelNotReadyError: It is of another model than the other tiles.
        """
        if answer.model != self._model or (self._version or answer.model_version) != (
            answer.model_version
        ):
            raise ModelNotReadyError(
                f"model '{self._model.name}' was replaced while the tiles of a picture were on "
                "their way; segment the picture again",
                retryable=True,
            )
        self._version = answer.model_version
        if self._by_weight:
            self._place_by_weight(tile, answer)
        else:
            self._place_center(tile, answer)
        self._done += 1
        if self._call.tiling.on_progress is not None:
            self._call.tiling.on_progress(self._done, self.tile_count)

    def result(self) -> Segmentation:
        """Return the whole."""
        self._class_map.flags.writeable = False
        if self._confidence is not None:
            self._confidence.flags.writeable = False
        return Segmentation(
            class_map=self._class_map,
            confidence=self._confidence,
            picture=self._picture,
            model=self._model,
            model_version=self._version,
            request_id=self._call.request_id,
            tiling=self.plan.report,
        )

    def _place_center(self, tile: Tile, answer: Segmentation) -> None:
        target = _decided(tile.rows), _decided(tile.columns)
        source = _within(tile.rows), _within(tile.columns)
        self._class_map[target] = answer.class_map[source]
        if self._confidence is not None and answer.confidence is not None:
            self._confidence[target] = answer.confidence[source]

    def _place_by_weight(self, tile: Tile, answer: Segmentation) -> None:
        """Let a tile decide where it is surer than those before, times its weight there."""
        if self._weights is None or answer.confidence is None:
            return
        area = _whole(tile.rows), _whole(tile.columns)
        rows, columns = (
            _weights(one, spans)
            for one, spans in ((tile.rows, self.plan.rows), (tile.columns, self.plan.columns))
        )
        weight = np.multiply.outer(rows, columns)
        weight //= _LARGEST_WEIGHT
        weight *= answer.confidence.astype(np.uint16) + 1
        wins = weight > self._weights[area]
        np.copyto(self._weights[area], weight, where=wins)
        np.copyto(self._class_map[area], answer.class_map, where=wins)
        if self._confidence is not None:
            np.copyto(self._confidence[area], answer.confidence, where=wins)


def _whole(span: Span) -> slice:
    return slice(span.start, span.stop)


def _decided(span: Span) -> slice:
    return slice(span.first, span.end)


def _within(span: Span) -> slice:
    return slice(span.first - span.start, span.end - span.start)


def _weights(span: Span, spans: tuple[Span, ...]) -> npt.NDArray[np.uint16]:
    """Return the weight of every pixel of a tile along one axis: (n,) uint16, 1–255.

    It falls towards the edges that the tile shares with others, over what they have in common, and
    is full at the picture's own.
    """
    index, length = spans.index(span), span.stop - span.start
    place = np.arange(length)
    weight = np.ones(length)
    if index > 0:
        shared = spans[index - 1].stop - span.start
        weight = np.minimum(weight, (place + 1) / (shared + 1))
    if index < len(spans) - 1:
        shared = span.stop - spans[index + 1].start
        weight = np.minimum(weight, (length - place) / (shared + 1))
    rounded: npt.NDArray[np.uint16] = np.rint(weight * _LARGEST_WEIGHT).astype(np.uint16)
    np.maximum(rounded, 1, out=rounded)
    return rounded
