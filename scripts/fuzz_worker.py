"""A process that does one case of a fuzz run after another, and is replaced if one kills it."""

from __future__ import annotations

import multiprocessing
import os
import resource
from multiprocessing.connection import Connection
from typing import Protocol, TypeVar

Outcome = TypeVar("Outcome", covariant=True)
DIED, HANGS = "died", "hangs"


class Case(Protocol[Outcome]):
    """What can be pickled, and tried."""

    def outcome(self) -> Outcome:
        """Try it in this process."""
        ...


class WorkerError(Exception):
    """A case ended its process, or did not end: one of `DIED` and `HANGS`, with words."""


class Worker:
    """The process, on a core of its own."""

    def __init__(self, core: int, *, timeout_s: float, memory_bytes: int) -> None:
        self._core, self._timeout_s, self._memory_bytes = core, timeout_s, memory_bytes
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def outcome(self, case: Case[Outcome]) -> Outcome:
        """Try a case there.

        Raises:
            WorkerError: It has no outcome.
        """
        self._ours.send(case)
        try:
            if self._ours.poll(self._timeout_s):
                outcome: Outcome = self._ours.recv()
                return outcome
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            self._start()
            raise WorkerError(DIED, f"exit code {code}") from None
        self.close()
        self._start()
        raise WorkerError(HANGS, f"longer than {self._timeout_s:.0f} s")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()

    def _start(self) -> None:
        self._ours, theirs = self._context.Pipe()
        arguments = (theirs, self._core, self._memory_bytes)
        self._process = self._context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()


def _serve(theirs: Connection, core: int, memory_bytes: int) -> None:
    os.sched_setaffinity(0, {core})
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    while True:
        theirs.send(theirs.recv().outcome())
