"""Which sizes of input a network takes, and the words in which it is said of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tritonseg_steps.geometry import Geometry, Size
from tritonseg_steps.validation import exact_keys, positive_int


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkSizes:
    """Sizes of a network's input, in pixels.

    Attributes:
        height: The only one; None where several are taken.
        width: Likewise.
        multiple_of: What open sides must be multiples of.
        at_least: What open sides must not fall below.
        at_most_hw: What open height and width must not exceed; None for no such bound.
    """

    height: int | None = None
    width: int | None = None
    multiple_of: int = 1
    at_least: int = 1
    at_most_hw: Size | None = None

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            if getattr(self, name) is not None:
                positive_int(f"network_sizes.{name}", getattr(self, name))
        positive_int("network_sizes.multiple_of", self.multiple_of)
        positive_int("network_sizes.at_least", self.at_least)
        for side in self.at_most_hw or ():
            positive_int("network_sizes.at_most_hw", side)

    @property
    def input_hw(self) -> tuple[int | None, int | None]:
        """Height and width, None where open."""
        return self.height, self.width

    @property
    def fixed_hw(self) -> Size | None:
        """Height and width if both are fixed."""
        return None if self.height is None or self.width is None else (self.height, self.width)

    @property
    def declared(self) -> str:
        """Height and width in words, "any" where open."""
        return _by(self.input_hw)

    @property
    def can_be_padded(self) -> bool:
        """Whether padding both sides to `multiple_of` leads to sizes that are taken."""
        return all(side is None or side % self.multiple_of == 0 for side in self.input_hw)

    @property
    def multiple_words(self) -> str:
        """What `multiple_of` asks of pictures."""
        sides = self._open_sides()
        are = "are multiples" if len(sides) > 1 else "is a multiple"
        return f"whose {' and '.join(sides)} {are} of {self.multiple_of}"

    @property
    def least_words(self) -> str:
        """What `at_least` asks of pictures."""
        return f"of at least {self.at_least} pixels in {' and '.join(self._open_sides())}"

    @property
    def most_words(self) -> str:
        """What `at_most_hw` asks of pictures."""
        return f"of at most {_by(self.at_most_hw or self.input_hw)} (height x width)"

    def nearest(self, size_hw: Size) -> Size:
        """Return the size that is taken and lies next above, or the largest, or the only one."""
        height, width = (
            fixed or self._nearest_side(side, most)
            for fixed, side, most in zip(
                self.input_hw, size_hw, self.at_most_hw or (None, None), strict=True
            )
        )
        return height, width

    def refusal(self, geometry: Geometry) -> str | None:
        """Return why a picture cannot be taken and what to do, or None if it can."""
        at_most_hw = self.at_most_hw or geometry.network_hw
        too_large = any(
            got > most for got, most in zip(geometry.network_hw, at_most_hw, strict=True)
        )
        if self.nearest(geometry.network_hw) == geometry.network_hw and not too_large:
            return None
        got = f"got {_by(geometry.image_hw)}"
        if geometry.network_hw != geometry.image_hw:
            got += f", which becomes {_by(geometry.network_hw)}"
        fixed = zip(self.input_hw, geometry.network_hw, strict=True)
        if any(side not in (None, found) for side, found in fixed):
            return self._other_than_fixed(geometry, got)
        if any(
            fixed is None and found < self.at_least
            for fixed, found in zip(self.input_hw, geometry.network_hw, strict=True)
        ):
            advice = _other_bounds("larger", geometry) or "enlarge the picture"
            return f"this model takes pictures {self.least_words}, {got}; {advice}"
        if too_large:
            advice = _other_bounds("smaller", geometry) or "shrink the picture"
            return f"this model takes pictures {self.most_words}, {got}; {advice}"
        return self._no_multiple(geometry, got)

    def _other_than_fixed(self, geometry: Geometry, got: str) -> str:
        takes = "this model takes pictures of"
        advice = "resize the picture, or build the model with a resize policy"
        if geometry.network_hw != geometry.image_hw:
            takes = "this model's network takes"
            advice = "build the model with another resize policy"
        return (
            f"{takes} {self.declared} (height x width) only, {got}; {advice} or from an export of "
            "any size"
        )

    def _no_multiple(self, geometry: Geometry, got: str) -> str:
        advice, divisor = "pad the picture", f"size_divisor: {self.multiple_of}"
        if geometry.content_hw != geometry.image_hw:
            advice = f"build the model with {divisor} in its resize policy"
        elif self.can_be_padded:
            advice += f", or build the model with resize: {{policy: native, {divisor}}}"
        return f"this model takes pictures {self.multiple_words}, {got}; {advice}"

    def to_json(self) -> dict[str, Any]:
        """Return a document that `from_json` reads back to an equal value."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> NetworkSizes:
        """Read what `to_json` wrote.

        Raises:
            ValueError: A key is unknown, missing, or holds something else than documented.
        """
        exact_keys("network_sizes", document, [field.name for field in fields(cls)])
        at_most_hw = document["at_most_hw"]
        if at_most_hw is not None:
            height, width = at_most_hw
            at_most_hw = (height, width)
        return cls(**{**document, "at_most_hw": at_most_hw})

    def _open_sides(self) -> list[str]:
        names = zip(("height", "width"), self.input_hw, strict=True)
        return [name for name, fixed in names if fixed is None]

    def _nearest_side(self, side: int, most: int | None) -> int:
        multiples = -(-max(side, self.at_least) // self.multiple_of)
        if most is not None:
            multiples = min(multiples, most // self.multiple_of)
        return multiples * self.multiple_of


def _other_bounds(which: str, geometry: Geometry) -> str | None:
    """Return what to do where the size of the picture does not settle that of the input."""
    if geometry.content_hw == geometry.image_hw:
        return None
    return f"build the model with a resize policy of {which} bounds"


def _by(size_hw: tuple[int | None, int | None]) -> str:
    return "x".join("any" if side is None else str(side) for side in size_hw)
