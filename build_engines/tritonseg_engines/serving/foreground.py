"""Run a server in the foreground, as a command does."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final

from tritonseg_engines.serving._keeper import STUB_LOST
from tritonseg_engines.serving.server import TritonServer

_POLL_INTERVAL_S: Final = 0.1
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

MASKS_CHANGED: Final = 65
"""Exit code where the server was ended because of what it gave. Source: EX_DATAERR, sysexits.h."""

logger = logging.getLogger(__name__)


def run_until_signal(
    server: TritonServer,
    *,
    on_ready: Callable[[], object] | None = None,
    problem: Callable[[], str | None] | None = None,
) -> int:
    """Run `server` until SIGINT, SIGTERM or its own end, and stop it; in the main thread only.

    Best given a server that is not started yet: then a signal while models load ends it well, too.
    (Without a handler SIGTERM would leave the stop to the server's keeper, and would do nothing at
    all where this is process 1 of a container.) Further signals change nothing: the stop is bounded
    in time as it is.

    Args:
        server: Started here unless it runs.
        on_ready: Called once the server is ready.
        problem: Asked all the time while it runs: why the server must not go on, in one line; None
            as long as it may.

    Returns:
        An exit code for the process: 0 after a clean stop on request, else the server's own, or 1
        if it ended by itself with 0, or 70 if it was ended because a model's process had, or 65 if
        it was ended because of a `problem`.

    Raises:
        RepositoryError: As from `TritonServer.start`.
        ServerStartError: As from `TritonServer.start`.
    """
    with _StopSignals() as signals:
        try:
            if not server.is_running:
                signals.interrupt(server.start)
        except _StopRequestedError:
            server.stop()
            return 0
        try:
            if on_ready is not None:
                on_ready()
            found = _await_end(server, signals, problem)
        finally:
            exit_code = server.stop()
    if found is not None:
        logger.error("%s; the server is ended, so that nobody gets other masks", found)
        return MASKS_CHANGED
    if signals.received:
        return exit_code
    if exit_code == STUB_LOST:
        logger.error(
            "a model's process ended by itself, so the server was ended: without it requests "
            "would wait for ever; its log is %s",
            server.log_path,
        )
    else:
        logger.error(
            "tritonserver ended by itself with exit code %d; its log is %s",
            exit_code,
            server.log_path,
        )
    return exit_code or 1


def _await_end(
    server: TritonServer, signals: _StopSignals, problem: Callable[[], str | None] | None
) -> str | None:
    """Wait for a signal, the server's own end or a problem; return the last, in its line."""
    while not signals.received and server.poll() is None:
        found = None if problem is None else problem()
        if found is not None:
            return found
        # Not an Event: setting one in a signal handler can deadlock with waiting for it.
        time.sleep(_POLL_INTERVAL_S)
    return None


class _StopRequestedError(BaseException):
    """A signal came during an interruptible call; not an error that anybody is to handle."""


class _StopSignals:
    """Collects SIGINT and SIGTERM, instead of dying of them, for the time of a `with` block."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._interrupts = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _StopSignals:
        for number in _STOP_SIGNALS:
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def interrupt(self, call: Callable[[], object]) -> None:
        """Make `call`, and raise `_StopRequestedError` out of it at the first signal."""
        self._interrupts = True
        try:
            call()
        finally:
            self._interrupts = False

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(number)
        # Only once: what cleans up after the first signal must not be interrupted by the second.
        if self._interrupts and len(self.received) == 1:
            raise _StopRequestedError
