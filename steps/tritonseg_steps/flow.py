"""How many requests are between the first step of an ensemble and the last one's answer.

Triton's ensemble takes whatever comes, and hands it on as fast as the first step gives it: where
the engine is slower, 25 MB of network input wait for every picture of 1024x2048. So the first step
keeps back, as it came, what the others cannot take yet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Final

from tritonseg_steps.admission import Pace
from tritonseg_steps.tally import Counts, Tally, pace_of, tallies, tally_name

LOOK_AGAIN_S: Final = 5.0
"""Processes come and go with their models, which is seldom."""
LOST_S: Final = 0.5
"""Requests of which no step has heard for so long are nowhere: Triton gives one up between two
steps when its caller has left, and tells no step."""
TURN_S: Final = 0.002
"""How often a request that waits for its turn looks."""

Look = Callable[[], Iterable[tuple[str, Counts]]]


class Flow:
    """The first step's view of its ensemble.

    Args:
        tally: This process's own.
        steps: The ensemble's Triton models in their order, of which this is a process of the first.
        version: Of them.
        most: Requests that may be on their way; None for one more than there are processes.
        look: Finds the counts of all processes of this server.
        warn: Told once if the last step is not found, so that nothing is kept back.
    """

    def __init__(
        self,
        tally: Tally,
        steps: Sequence[str],
        version: str,
        *,
        most: int | None = None,
        look: Look = lambda: tallies(os.getppid()),
        warn: Callable[[str], object] = lambda _text: None,
    ) -> None:
        self._own = tally
        self._names = [tally_name(step, version) for step in steps]
        self._most = most
        self._find = look
        self._warn: Callable[[str], object] | None = warn
        self._blind_since_s: float | None = None
        self._steps: list[list[Counts]] = [[] for _ in steps]
        self._looked_s = -LOOK_AGAIN_S
        self._lock = Lock()

    def wait(self) -> None:
        """Return when one more fits in."""
        while self.count() >= self.most:
            time.sleep(TURN_S)

    @property
    def most(self) -> int:
        """Requests that may be on their way."""
        return self._most or 1 + sum(map(len, self._steps[1:]))

    def ahead(self) -> tuple[int, Pace]:
        """Return how many requests the slowest step has yet to answer, and its pace.

        Those that a later step works at are on their way and delay nobody.
        """
        count = self.count()
        paces = [pace_of(step) for step in self._steps]
        slowest = max(paces, key=lambda pace: pace.turn_s / pace.at_once)
        later = self._steps[paces.index(slowest) + 1 :]
        return max(0, count - sum(one.inside for step in later for one in step)), slowest

    def count(self) -> int:
        """Return how many requests are on their way; 0 where the last step does not tell."""
        with self._lock:
            self._look()
            *others, last = self._steps
            if not last:
                return 0
            count = sum(one.done for one in others[0]) - sum(one.done for one in last)
            count -= sum(one.failed for step in others for one in step)
            if count < 0 or (count > 0 and self._are_lost()):
                self._own.correct(-count)
                return 0
            return count

    def _are_lost(self) -> bool:
        """Return whether no step has any, nor had for a while."""
        processes = [one for step in self._steps for one in step]
        quiet_ns = time.monotonic_ns() - max(one.since_ns for one in processes)
        return quiet_ns > 1e9 * LOST_S and not any(one.inside for one in processes)

    def _look(self) -> None:
        """Find the processes, again if that was long ago or some were not there."""
        now_s = time.monotonic()
        again_s = LOOK_AGAIN_S if all(self._steps) else LOST_S
        if now_s - self._looked_s < again_s:
            return
        self._looked_s = now_s
        found = list(self._find())
        self._steps = [[counts for name, counts in found if name == one] for one in self._names]
        self._say_if_blind(now_s)

    def _say_if_blind(self, now_s: float) -> None:
        """Warn if the last step is not to be found although requests come."""
        if self._steps[-1]:
            self._blind_since_s = None
            return
        self._blind_since_s = self._blind_since_s or now_s
        if self._warn is not None and now_s - self._blind_since_s >= LOOK_AGAIN_S:
            self._warn(
                f"{self._names[-1]} is not found among the server's processes, so what is behind "
                f"{self._names[0]} is not limited"
            )
            self._warn = None
