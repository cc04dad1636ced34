"""Who is let into a line, and who is refused at once.

Without a time, so many may wait as the count says. With one, what waits is to be answered soon: a
line that is full all the time makes everybody wait the longest, and nobody gains by it, and one
that is always short refuses callers who come together once. So it is long as long as that helps,
and short from the first refusal on until it has been calm.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LEAST_BURST: Final = 8
"""Requests that may always come together, however long one takes: the client's `segment_many` has
so many in flight."""
OVERLOAD_TURNS: Final = 1.5
"""While there is overload, how many times as long as a request takes one may wait for its turn.
With its own time, and with what refusing costs, its answer comes within three times of that. Less
keeps the server idle more often: at twice the capacity and with times that vary by 15 %, 1.25, 1.5
and 1.75 answer 0.955, 0.970 and 0.979 of it, the slowest hundredth after 2.6, 2.9 and 3.1 times
(simulated)."""
CALM_S: Final = 5.0
"""The least time without a refusal that ends an overload."""
CALM_BURSTS: Final = 3
"""The least time too, in that which the longest line takes. Arrivals are random, and in a time of
one burst an overload of 1.2 times the capacity often goes without a refusal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How fast requests are answered.

    Attributes:
        turn_s: Seconds that one takes; 0 until that is known.
        left_s: What is left of the one that is answered next.
        at_once: How many are answered at the same time.
    """

    turn_s: float = 0.0
    left_s: float = 0.0
    at_once: int = 1

    def wait_s(self, inside: int) -> float:
        """Return how long one more waits for its turn where so many wait or have theirs."""
        behind = inside - self.at_once
        return 0.0 if behind < 0 else self.left_s + behind * self.turn_s / self.at_once


class Admission:
    """Decides by how many are in front of a request.

    Args:
        most: So many may wait.
        time_s: How long the last of them may wait for its turn, in seconds, though `LEAST_BURST`
            always may. None for any time, and for a line that is never short.
        clock: Seconds that never go back.
    """

    def __init__(
        self, most: int, time_s: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._time_s = time_s
        self._clock = clock
        self._calm_at_s = 0.0

    def admits(self, inside: int, pace: Pace) -> bool:
        """Return whether one more is let in.

        Args:
            inside: How many wait or are being answered.
            pace: How fast they are.
        """
        now_s, most = self._clock(), self._burst(pace)
        is_overload = self._time_s is not None and now_s < self._calm_at_s
        waiting = inside - pace.at_once
        if waiting < most and (not is_overload or self._is_soon(inside, pace)):
            return True
        self._calm_at_s = now_s + max(CALM_S, CALM_BURSTS * most * pace.turn_s / pace.at_once)
        return False

    def _burst(self, pace: Pace) -> int:
        if self._time_s is None or pace.turn_s <= 0:
            return self._most
        in_time = int(self._time_s * pace.at_once / pace.turn_s)
        return min(self._most, max(LEAST_BURST, in_time))

    @staticmethod
    def _is_soon(inside: int, pace: Pace) -> bool:
        return pace.wait_s(inside) <= OVERLOAD_TURNS * pace.turn_s
