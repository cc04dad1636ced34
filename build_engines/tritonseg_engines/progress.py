"""How work that takes time says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much is."""
Counter = Callable[[int, int], None]
"""The same for one thing: how much of how much is done."""


def unheard(what: str, done: int, total: int) -> None:
    """Tell nobody."""


def counter(progress: Progress, what: str) -> Counter:
    """Return `progress` for one thing that is being done."""
    return lambda done, total: progress(what, done, total)
