"""Whether any caller gets the mask of another's picture."""

from __future__ import annotations

from callers import MASK, Load
from figures import KINDS, Figure

CALLERS = {"threads": 32, "asyncio": 500}


def measure(url: str, *, calls: int = 16_000) -> list[Figure]:
    """Return a figure for each client: masks that are not their picture's, and errors."""
    return [_figure(kind, url, calls) for kind in KINDS]


def _figure(kind: str, url: str, calls: int) -> Figure:
    found = Load(kind=kind, url=url, callers=CALLERS[kind]).outcomes(range(calls))
    bad = {outcome: count for outcome, count in found.items() if outcome is not MASK}
    name = {"threads": "threads", "asyncio": "tasks"}[kind]
    return Figure(
        what=f"{CALLERS[kind]} {name}, {calls} pictures: masks of other pictures, errors",
        kind=kind,
        found=str(bad or 0),
        limit="0",
        is_kept=not bad and found[MASK] == calls,
    )
