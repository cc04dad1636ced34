"""One deadline for everything that a call does."""

from __future__ import annotations

import time

from .._errors import DeadlineExceededError


class Deadline:
    """The moment by which a call must have ended, however many requests it sends.

    Args:
        timeout_s: Seconds from now.
    """

    __slots__ = ("_end_s", "_timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._end_s = time.monotonic() + timeout_s

    @property
    def timeout_s(self) -> float:
        """Seconds that there were at the beginning."""
        return self._timeout_s

    def remaining_s(self) -> float:
        """Return the seconds left, 0 or less once the deadline has passed."""
        return self._end_s - time.monotonic()

    def require_s(self) -> float:
        """Return the seconds left, more than 0.

        Raises:
            DeadlineExceededError: Nothing is left.
        """
        remaining_s = self.remaining_s()
        if remaining_s <= 0:
            raise DeadlineExceededError(f"the call did not end within {self._timeout_s:g} s")
        return remaining_s
