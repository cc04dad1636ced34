"""How a picture is cut into tiles: pure planning, from its size and what the model says of itself.

Tiles begin at multiples of the network's grid. Where they share as many pixels as the network sees
to both sides, and each decides the pixels of whose surroundings it holds all, their masks are the
mask of the whole picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from .._config import check_choice, check_int
from .._errors import ConfigurationError
from .._model.metadata import ModelInfo
from .._results.tiling_report import Blend, TilingReport
from .sizes import TileFacts

BLENDS: Final = ("center", "confidence")
MAX_SIDE: Final = 2**16
MAX_TILES_IN_FLIGHT: Final = 64

AUTO_SIDE: Final = 1024
LARGEST_AUTO_SIDE: Final = 2048
"""Pixels. Servers take it: it is twice the area at which most published models were trained."""
SIDES_PER_OVERLAP: Final = 4
"""A tile of so many overlaps computes each pixel (4/3)² = 1.8 times."""
UNKNOWN_OVERLAPS_PER_SIDE: Final = 4
"""Where nothing is known of the reach, neighbours share a quarter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """How `segment` cuts a picture into tiles; None leaves a choice to what the model says.

    Attributes:
        size: Height and width of a tile in pixels, or one number for both.
        overlap: Pixels that neighbours share, along each axis.
        blend: Which tile decides where two overlap. "center": the one that sees further around the
            pixel. "confidence": the one that is surer, times a weight that falls towards its edge.
        max_in_flight: How many tiles are with the server at once.
        on_progress: Called after every tile with how many are done and how many there are, in the
            thread or task of the call.

    Raises:
        ConfigurationError: A number can never work.
    """

    size: int | tuple[int, int] | None = None
    overlap: int | None = None
    blend: Blend | None = None
    max_in_flight: int = 4
    on_progress: Callable[[int, int], object] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for side in self.size_hw or ():
            check_int("size", side, 1, MAX_SIDE)
        if self.overlap is not None:
            check_int("overlap", self.overlap, 0, MAX_SIDE)
            if self.size_hw is not None and self.overlap >= min(self.size_hw):
                raise ConfigurationError(
                    f"overlap must be less than the tile's size, got {self.overlap} of "
                    f"{self.size!r}"
                )
        if self.blend is not None:
            check_choice("blend", self.blend, BLENDS)
        check_int("max_in_flight", self.max_in_flight, 1, MAX_TILES_IN_FLIGHT)
        if self.on_progress is not None and not callable(self.on_progress):
            raise ConfigurationError(
                f"on_progress must be callable, got {type(self.on_progress).__name__}"
            )

    @property
    def size_hw(self) -> tuple[int, int] | None:
        """Height and width, if they are given."""
        if self.size is None or isinstance(self.size, int):
            return None if self.size is None else (self.size, self.size)
        if not isinstance(self.size, tuple) or len(self.size) != 2:
            raise ConfigurationError(f"size must be pixels or (height, width), got {self.size!r}")
        return self.size


TilingOption: TypeAlias = Tiling | Literal["auto"]


def check_tiling(tiling: object) -> Tiling:
    """Return what `segment` was given, "auto" for all of the model's choice.

    Raises:
        ConfigurationError: It is something else.
    """
    if isinstance(tiling, str) and tiling == "auto":
        return Tiling()
    if not isinstance(tiling, Tiling):
        raise ConfigurationError(f"tiling must be 'auto', a Tiling or None, got {tiling!r}")
    return tiling


@dataclass(frozen=True, slots=True)
class Span:
    """A tile along one axis, in pixels of the picture.

    Attributes:
        start: Where it begins.
        stop: Where it ends.
        first: The first pixel that it decides, by "center".
        end: The first behind those.
    """

    start: int
    stop: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of the picture that is sent."""

    rows: Span
    columns: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePlan:
    """All tiles of a picture.

    Attributes:
        image_hw: Of the picture.
        rows: Along its height.
        columns: Along its width.
        report: What the result says of it.
    """

    image_hw: tuple[int, int]
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    report: TilingReport

    def tiles(self) -> Iterator[Tile]:
        """Yield the tiles, row by row."""
        return (Tile(*spans) for spans in itertools.product(self.rows, self.columns))


def plan_tiles(image_hw: tuple[int, int], model: ModelInfo, tiling: Tiling) -> TilePlan:
    """Return the tiles of a picture.

    Args:
        image_hw: (H, W) of the picture, in pixels.
        model: What the server says of it.
        tiling: What the caller wants of it.

    Raises:
        ConfigurationError: The two do not go together.
    """
    if tiling.blend == "confidence" and not model.gives_confidence:
        raise ConfigurationError(
            f"blend='confidence' needs a model that gives confidence, and '{model.name}' gives "
            "none; take blend='center'"
        )
    facts = TileFacts.of(model)
    sizes, overlaps = _sizes(facts, tiling)
    if tiling.size is None:
        sizes = [
            _balanced(image_hw[axis], sizes[axis], overlaps[axis], facts, axis) for axis in (0, 1)
        ]
    axes = [_spans(image_hw[axis], sizes[axis], overlaps[axis], facts, axis) for axis in (0, 1)]
    shared = [
        min((a.stop - b.start for a, b in itertools.pairwise(spans)), default=0) for spans in axes
    ]
    cut = [axis for axis in (0, 1) if len(axes[axis]) > 1]
    reason = next(
        (why for axis in cut if (why := _why_not(facts, image_hw, axis, shared[axis]))), None
    )
    blend: Blend = tiling.blend or "center"
    if reason is None and cut and blend == "confidence":
        reason = "blend='confidence' takes pixels of which a tile does not hold all that decides"
    report = TilingReport(
        tile_count=len(axes[0]) * len(axes[1]),
        size_hw=(min(sizes[0], image_hw[0]), min(sizes[1], image_hw[1])),
        overlap_hw=(shared[0], shared[1]),
        blend=blend,
        is_exact=reason is None,
        reason=reason,
    )
    return TilePlan(image_hw=image_hw, rows=axes[0], columns=axes[1], report=report)


def _sizes(facts: TileFacts, tiling: Tiling) -> tuple[list[int], list[int]]:
    """Return height and width of a tile, and the overlaps along both."""
    sizes, overlaps = [], []
    for axis in (0, 1):
        size = tiling.size_hw[axis] if tiling.size_hw is not None else None
        # Where tiles are resized otherwise than the whole, what the network sees is no help.
        needed = facts.needed_overlap(axis) if facts.is_of_scale(axis) else None
        if size is None:
            wanted = AUTO_SIDE if needed is None else max(AUTO_SIDE, SIDES_PER_OVERLAP * needed)
            size = facts.usable_side(axis, min(wanted, LARGEST_AUTO_SIDE))
        else:
            size = facts.on_grid(axis, size)
        overlap = tiling.overlap
        if overlap is None:
            most = size - facts.step_grid(axis, size)
            overlap = min(size // UNKNOWN_OVERLAPS_PER_SIDE, most)
            overlap = needed if needed is not None and needed <= most else overlap
        sizes.append(size)
        overlaps.append(overlap)
    return sizes, overlaps


def _balanced(length: int, size: int, overlap: int, facts: TileFacts, axis: int) -> int:
    """Return the least side with which no more tiles are needed."""
    if length <= size or facts.is_of_one_size(axis, length):
        return size
    grid = facts.step_grid(axis, size)
    shared = -(-overlap // grid) * grid
    count = -(-(length - shared) // (size - shared))
    return max(
        facts.on_grid(axis, shared + -(-(length - shared) // count) + grid - 1),
        facts.least_side(axis),
    )


def _spans(length: int, size: int, overlap: int, facts: TileFacts, axis: int) -> tuple[Span, ...]:
    """Return the tiles along one axis; all but the last begin at multiples of the grid."""
    if length <= size:
        return (Span(0, length, 0, length),)
    grid = facts.step_grid(axis, size)
    step = (size - overlap) // grid * grid
    if step < 1:
        raise ConfigurationError(
            f"tiles of {size} pixels that share {overlap} leave less than the {grid} by which they "
            "move; give a larger size or a smaller overlap"
        )
    last = length - size
    if not facts.is_of_one_size(axis, length):
        last = -(-last // grid) * grid
    starts = [*range(0, last, step), last]
    stops = [*(start + size for start in starts[:-1]), length]
    cuts = [
        _cut(start, stop, facts.reach_of(axis))
        for start, stop in zip(starts[1:], stops[:-1], strict=True)
    ]
    decided = itertools.pairwise([0, *cuts, length])
    return tuple(
        Span(start, stop, *kept) for start, stop, kept in zip(starts, stops, decided, strict=True)
    )


def _cut(start: int, stop: int, reach: tuple[int, int]) -> int:
    """Return where one tile ends to decide and the next begins, in what both hold."""
    before, after = reach
    uneven = before - after if stop - start >= before + after else 0
    return start + (stop - start + uneven) // 2


def _why_not(facts: TileFacts, image_hw: tuple[int, int], axis: int, overlap: int) -> str | None:
    """Return why tiles along one axis do not give what the whole picture does."""
    reason = facts.why_not_exact(image_hw, axis)
    needed = facts.needed_overlap(axis)
    if reason is not None or needed is None or overlap >= needed:
        return reason
    most, enough = facts.largest_side(axis), facts.side_for(axis, needed)
    cure = f"Tiling(size={enough}) is exact"
    if most is not None and enough > most:
        cure = f"exact tiles are larger than the {most} that the engine takes"
    return f"neighbours share {overlap} pixels, and the network sees {needed}; {cure}"
