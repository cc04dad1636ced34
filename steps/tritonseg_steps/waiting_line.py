"""Where requests wait for a step on the CPU.

Triton limits a queue only where it batches, and its batcher sleeps for seconds while requests wait
(docs/serving_defaults.md has the measurements, and what a line costs). So a step with a limit takes
them off Triton's hands at once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock


class WaitingLine:
    """One thread that does what it is given, in its order.

    Args:
        admits: Whether one more may enter where so many are inside; asked by one thread at a time.
        begin: Called first in that thread; Numba counts the threads it may use for each of its
            callers.
    """

    def __init__(self, admits: Callable[[int], bool], begin: Callable[[], None]) -> None:
        self._admits = admits
        self._inside = 0
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, "tritonseg", initializer=begin)

    @property
    def is_empty(self) -> bool:
        """Whether what enters now is done at once."""
        return self._inside == 0

    def enter(self, job: Callable[[], None]) -> bool:
        """Do a job when its turn comes; return False where it is not let in, and is not done.

        Args:
            job: Must not raise; nobody would hear of it.
        """
        with self._lock:
            if not self._admits(self._inside):
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
