"""Where requests wait for a step on the CPU if their number is limited.

Triton limits a queue only where it batches, and its batcher sleeps for seconds while requests of
different sizes wait (docs/serving_defaults.md has the measurements, and what a line costs). So a
step with a limit takes them off Triton's hands at once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock


class WaitingLine:
    """One thread that does what it is given, in its order.

    Args:
        limit: How many may wait, beside the one that is being done.
        begin: Called first in that thread; Numba counts the threads it may use for each of its
            callers.
    """

    def __init__(self, limit: int, begin: Callable[[], None]) -> None:
        self._most = limit + 1
        self._inside = 0
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, "tritonseg", initializer=begin)

    @property
    def is_empty(self) -> bool:
        """Whether what enters now is done at once."""
        return self._inside == 0

    def enter(self, job: Callable[[], None]) -> bool:
        """Do a job when its turn comes; return False where too many wait, and it is not done.

        Args:
            job: Must not raise; nobody would hear of it.
        """
        with self._lock:
            if self._inside >= self._most:
                return False
            self._inside += 1
        self._thread.submit(self._do, job)
        return True

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        finally:
            with self._lock:
                self._inside -= 1

    def close(self) -> None:
        """Do what waits, then end the thread."""
        self._thread.shutdown()
