"""Sizes of pictures as one types them."""

from __future__ import annotations

SIDES = 2


def typed_size(text: str) -> tuple[int, int] | None:
    """Return the height and width, in pixels, of a text such as 512x1024; None for another text."""
    sides = text.lower().split("x")
    if len(sides) != SIDES or not all(side.isdecimal() and int(side) for side in sides):
        return None
    return int(sides[0]), int(sides[1])
