"""Which tiles a model takes, and which give what the whole picture would."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from .._errors import ConfigurationError
from .._model.metadata import ModelInfo
from .._model.network_facts import Preprocessing, Reach, ResizePolicy

UNKNOWN_GRID: Final = 32
"""Pixels; what the strides of most networks divide."""
SIDES: Final = ("height", "width")
_NO_PREPROCESSING: Final = "the model does not say how it resizes pictures"
_NO_REACH: Final = (
    "the model does not say how far its network sees, because an earlier tritonseg built it; "
    "build it again"
)


@dataclass(frozen=True, slots=True)
class TileFacts:
    """What a model says that decides about its tiles.

    Attributes:
        preprocessing: Of its pictures; None if it does not say.
        reach: Of its network; None if it does not say.
    """

    preprocessing: Preprocessing | None
    reach: Reach | None

    @classmethod
    def of(cls, model: ModelInfo) -> TileFacts:
        """Return those of a model.

        Raises:
            ConfigurationError: It cuts off the borders of every picture, and would of every tile.
        """
        resize = None if model.preprocessing is None else model.preprocessing.resize
        if resize is not None and resize.policy == "center_crop":
            raise ConfigurationError(
                f"model '{model.name}' cuts off the borders of every picture (resize policy "
                "center_crop), and so it would of every tile; build it with another policy"
            )
        return cls(model.preprocessing, model.reach)

    @property
    def is_finite(self) -> bool:
        """Whether the network is known to see a part of the picture for each pixel."""
        return self.reach is not None and self.reach.unbounded_by is None

    def reach_of(self, axis: int) -> tuple[int, int]:
        """Return how far a pixel sees before and behind itself; nothing where that is unknown."""
        if self.reach is None or not self.is_finite:
            return 0, 0
        return self.reach.before_hw[axis], self.reach.after_hw[axis]

    def needed_overlap(self, axis: int) -> int | None:
        """Return what neighbours must share, None where no overlap is enough."""
        return sum(self.reach_of(axis)) if self.is_finite else None

    def grid(self, axis: int) -> int:
        """Return what tiles begin at multiples of, and are multiples of."""
        grid = self.reach.grid_hw[axis] if self.reach and self.is_finite else UNKNOWN_GRID
        if self.preprocessing is None:
            return grid
        divisor = self.preprocessing.resize.size_divisor
        return math.lcm(grid, divisor, self.preprocessing.multiple_of)

    def step_grid(self, axis: int, size: int) -> int:
        """Return what tiles of a size move by multiples of; any number where they are too small.

        Raises:
            ConfigurationError: They are too small for the grid of a network that takes any size.
        """
        grid = self.grid(axis)
        if self._side_of_policy(axis) is not None:
            return grid if size > 2 * grid else 1
        if size < grid:
            raise ConfigurationError(f"a tile must be of at least {grid} pixels, got {size}")
        return grid

    def usable_side(self, axis: int, wanted: int) -> int:
        """Return the side of a tile that the network takes and the policy does not resize."""
        given = self._side_of_policy(axis)
        if given is not None or self.preprocessing is None:
            return given or self.on_grid(axis, wanted)
        most = self.largest_side(axis)
        side = max(self.on_grid(axis, wanted), self.least_side(axis))
        return side if most is None else min(side, most)

    def least_side(self, axis: int) -> int:
        """Return the least side of tiles of which the last, up to a grid shorter, is taken."""
        grid, at_least = self.grid(axis), 1
        if self.preprocessing is not None:
            at_least = self.preprocessing.at_least
        return -(-at_least // grid) * grid + grid

    def largest_side(self, axis: int) -> int | None:
        """Return the largest side of a tile that the engine takes; None for any."""
        most = None if self.preprocessing is None else self.preprocessing.at_most_hw
        return None if most is None else most[axis] // self.grid(axis) * self.grid(axis)

    def side_for(self, axis: int, overlap: int) -> int:
        """Return a side of which a quarter is left beside an overlap."""
        return self.on_grid(axis, overlap * 4 // 3) + self.grid(axis)

    def on_grid(self, axis: int, side: int) -> int:
        """Return the multiple of the grid next below; any side where only one is not resized."""
        if self._side_of_policy(axis) is not None:
            return side
        return side // self.grid(axis) * self.grid(axis)

    def is_of_one_size(self, axis: int, length: int) -> bool:
        """Return whether the last tile must be as long as the others."""
        if self.preprocessing is None:
            return False
        divides = -(-length // self._divisor) * self._divisor % self.preprocessing.multiple_of == 0
        return self._side_of_policy(axis) is not None or not divides

    def is_of_scale(self, axis: int) -> bool:
        """Return whether tiles come to the network at the whole picture's scale, if known."""
        preprocessing = self.preprocessing
        if preprocessing is None:
            return True
        return preprocessing.resize.policy == "native" and preprocessing.network_hw[axis] is None

    def why_not_exact(self, image_hw: tuple[int, int], axis: int) -> str | None:
        """Return why no tiles along an axis give what the whole picture does, or None."""
        preprocessing = self.preprocessing
        if preprocessing is None:
            return _NO_PREPROCESSING
        if preprocessing.resize.policy != "native":
            return (
                f"the model's resize policy '{preprocessing.resize.policy}' scales the whole "
                "picture but not its tiles: the mask is finer, and another"
            )
        if preprocessing.network_hw[axis] is not None:
            return (
                f"the network takes a {SIDES[axis]} of {preprocessing.network_hw[axis]} alone, so "
                "that the whole picture has no mask"
            )
        if self.reach is None:
            return _NO_REACH
        if self.reach.unbounded_by is not None:
            return f"the network sees all of a picture: {self.reach.unbounded_by}"
        return self._why_no_grid(image_hw[axis], axis)

    def _why_no_grid(self, length: int, axis: int) -> str | None:
        """Return why the network does not repeat itself over a side of this length, or None."""
        divisor = self._divisor
        padded = -(-length // divisor) * divisor
        grid = self.grid(axis)
        if padded % grid:
            return (
                f"the {SIDES[axis]} of {length} is no multiple of {grid}, so that the network's "
                "own resizes have another scale for the whole picture than for a tile; pad the "
                f"picture, or build the model with resize: {{policy: native, size_divisor: {grid}}}"
            )
        if padded != length and self._align == "center":
            return (
                f"the {SIDES[axis]} of {length} is padded on both sides (resize.align: center), "
                "and tiles are not"
            )
        return None

    @property
    def _divisor(self) -> int:
        return 1 if self.preprocessing is None else self.preprocessing.resize.size_divisor

    @property
    def _align(self) -> str:
        return "" if self.preprocessing is None else self.preprocessing.resize.align

    def _fixed_side(self, axis: int) -> int | None:
        return None if self.preprocessing is None else self.preprocessing.network_hw[axis]

    def _side_of_policy(self, axis: int) -> int | None:
        """Return the only side that is not resized, None where there are several."""
        if self.preprocessing is None:
            return None
        resize = self.preprocessing.resize
        of_policy = (resize.height, resize.width)[axis] or _bounded_side(resize)
        return of_policy or self._fixed_side(axis)


def _bounded_side(resize: ResizePolicy) -> int | None:
    """Return the side of a square that "keep_ratio" leaves as it is."""
    bounds = [side for side in (resize.long_side, resize.short_side) if side is not None]
    return min(bounds) if bounds else None
