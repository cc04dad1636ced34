"""What a part of the soak found, beside what it may find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from results import markdown_table

KINDS = ("threads", "asyncio")
"""`SegmentationClient` and `AsyncSegmentationClient`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        what: What was measured.
        kind: By which client, of `KINDS`.
        found: What was found, with its unit.
        limit: What it is held to.
        is_kept: Whether it is.
    """

    what: str
    kind: str
    found: str
    limit: str
    is_kept: bool


def table(figures: Sequence[Figure]) -> str:
    """Return the table, in Markdown."""
    rows = [
        [one.what, one.kind, one.found, one.limit, "yes" if one.is_kept else "**no**"]
        for one in figures
    ]
    return markdown_table(["what", "client", "found", "limit", "kept"], rows)
