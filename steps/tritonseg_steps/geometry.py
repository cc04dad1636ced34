"""Where a picture of any size lies in the network's input, and where each pixel went.

The normalize step draws by a `Geometry` and the argmax step undoes it, so that both read one
definition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Size = tuple[int, int]
"""(height, width) in pixels."""


class Axis(NamedTuple):
    """The rows, or the columns, of a `Geometry`."""

    image: int
    content: int
    network: int
    offset: int

    def in_network(self) -> slice:
        """Return where in the network's input there is anything of the picture."""
        return slice(max(0, self.offset), min(self.network, self.offset + self.content))

    def in_content(self) -> slice:
        """Return which part of the resized picture that is."""
        seen = self.in_network()
        return slice(seen.start - self.offset, seen.stop - self.offset)

    def in_image(self) -> slice:
        """Return the pixels of the picture whose centres lie in the network's input."""
        start, stop = (
            -(-(2 * self.image * (bound - self.offset) - self.content) // (2 * self.content))
            for bound in (0, self.network)
        )
        return slice(max(0, start), min(self.image, stop))


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the picture lies in the network's input.

    Attributes:
        image_hw: Size of the picture as it came.
        content_hw: Size to which the picture is resized.
        network_hw: Size of the network's input; what the content leaves is padding.
        offset_hw: Row and column of the input at which the content begins; negative where it is
            cropped.
        outside: Class of the pixels that are; None where none is.
    """

    image_hw: Size
    content_hw: Size
    network_hw: Size
    offset_hw: Size = (0, 0)
    outside: int | None = None

    def axes(self) -> tuple[Axis, Axis]:
        """Return what holds of the rows, and of the columns."""
        parts = (self.image_hw, self.content_hw, self.network_hw, self.offset_hw)
        rows, columns = (Axis(*along) for along in zip(*parts, strict=True))
        return rows, columns
