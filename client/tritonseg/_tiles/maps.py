"""The maps of a picture as they grow of its tiles' maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .._model.metadata import ModelInfo
from .._results.segmentation import Segmentation
from .tiling import Span, Tile, TilePlan

_LARGEST_WEIGHT: Final = 255
_NO_ROWS: Final = Span(0, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TileAnswer:
    """What came of one tile; without its pixels, of which nobody needs a second copy.

    Attributes:
        class_map: (h, w) uint8.
        confidence: (h, w) uint8; None unless asked for.
        model: That answered.
        model_version: Likewise.
        attempts: How often it was sent.
    """

    class_map: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8] | None
    model: ModelInfo
    model_version: str
    attempts: int

    @classmethod
    def of(cls, answer: Segmentation) -> TileAnswer:
        """Take it out of the answer to a tile's request."""
        return cls(
            class_map=answer.class_map,
            confidence=answer.confidence,
            model=answer.model,
            model_version=answer.model_version,
            attempts=answer.timings.attempts,
        )


class CentralMaps:
    """Where tiles overlap, each pixel is of the one that sees further around it.

    Args:
        plan: Of the tiles.
        confidence: Whether there is one.

    Attributes:
        class_map: (H, W) uint8.
        confidence: (H, W) uint8, or None.
    """

    def __init__(self, plan: TilePlan, *, confidence: bool) -> None:
        self.class_map = np.zeros(plan.image_hw, np.uint8)
        self.confidence = np.zeros(plan.image_hw, np.uint8) if confidence else None

    def place(self, tile: Tile, answer: TileAnswer) -> None:
        """Take from a tile's answer what it decides."""
        target = _decided(tile.rows), _decided(tile.columns)
        source = _within(tile.rows), _within(tile.columns)
        self.class_map[target] = answer.class_map[source]
        if self.confidence is not None and answer.confidence is not None:
            self.confidence[target] = answer.confidence[source]


class SurestMaps(CentralMaps):
    """Where tiles overlap, each pixel is of the one that is surer, times its weight there.

    Weights are kept of one row of tiles, so tiles must come row by row.
    """

    def __init__(self, plan: TilePlan, *, confidence: bool) -> None:
        super().__init__(plan, confidence=confidence)
        self._plan = plan
        self._rows = _NO_ROWS
        self._best = np.zeros((0, plan.image_hw[1]), np.uint16)

    def place(self, tile: Tile, answer: TileAnswer) -> None:
        """Let a tile decide where its confidence outweighs that of those before."""
        if answer.confidence is None:
            return
        self._go_to(tile.rows)
        columns = slice(tile.columns.start, tile.columns.stop)
        area = slice(tile.rows.start, tile.rows.stop), columns
        weight = np.multiply.outer(
            _weights(tile.rows, self._plan.rows), _weights(tile.columns, self._plan.columns)
        )
        weight //= _LARGEST_WEIGHT
        weight *= answer.confidence.astype(np.uint16) + 1
        wins = weight > self._best[:, columns]
        np.copyto(self._best[:, columns], weight, where=wins)
        np.copyto(self.class_map[area], answer.class_map, where=wins)
        if self.confidence is not None:
            np.copyto(self.confidence[area], answer.confidence, where=wins)

    def _go_to(self, rows: Span) -> None:
        """Keep the weights of what a row of tiles shares with those above."""
        if rows == self._rows:
            return
        best = np.zeros((rows.stop - rows.start, self._best.shape[1]), np.uint16)
        shared = max(self._rows.stop - rows.start, 0)
        best[:shared] = self._best[len(self._best) - shared :]
        self._rows, self._best = rows, best


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
