"""The server's process as the launcher sees it: through its keeper."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final, cast, overload

from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.serving import _keeper

_MARGIN_S: Final = 5.0


class KeptProcess:
    """A running server that ends when it is told to, and with this process at the latest.

    Args:
        command: The server's command line.
        environment: Its environment.
        work_directory: Its current directory, which goes with it if this process dies.
        log_path: File to which everything is appended that it writes.
        shm_prefix: Beginning of the names of its shared-memory regions.
        grace_s: How long it may take to stop cleanly, in seconds, before it is killed.
        teardown_s: How much of that it gets after its last request, model and connection.

    Raises:
        ServerStartError: The command cannot be run.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        work_directory: Path,
        log_path: Path,
        shm_prefix: str,
        grace_s: float,
        teardown_s: float,
    ) -> None:
        self._shm_prefix = shm_prefix
        self._stop_timeout_s = grace_s + _keeper.REAP_TIMEOUT_S + _MARGIN_S
        times = [str(grace_s), str(teardown_s)]
        task = [str(os.getpid()), str(work_directory), shm_prefix, *times, *command]
        with log_path.open("ab") as log:
            self._keeper = subprocess.Popen(  # noqa: S603 - no shell, and a command of our own
                [sys.executable, "-I", "-S", _keeper.__file__, *task],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env=dict(environment),
                # Ctrl-C in the terminal is for the launcher to act on.
                start_new_session=True,
            )
        self._lifeline = cast(IO[bytes], self._keeper.stdin)
        self.pid = self._read_pid()

    def _read_pid(self) -> int:
        with cast(IO[bytes], self._keeper.stdout) as keeper_output:
            line = keeper_output.readline().decode(errors="replace").strip()
        if not line.isdigit():
            self.stop(kill=True)
            raise ServerStartError(f"cannot run {line or 'the process that keeps tritonserver'}")
        return int(line)

    def watch_stubs(self, *, models_stay: bool) -> None:
        """End the server from now on if it loses one of its stubs; exit code `STUB_LOST`.

        Args:
            models_stay: Whether none ends in order, as when its model is unloaded.
        """
        request = _keeper.WATCH_REQUEST if models_stay else _keeper.WATCH_CHANGING_REQUEST
        with contextlib.suppress(BrokenPipeError):
            self._lifeline.write(request)

    def poll(self) -> int | None:
        """Return the server's exit code, 128 + n after signal n, or None while it runs."""
        return _shell_exit_code(self._keeper.poll())

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the server's end; return its exit code, None if it still runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(timeout_s)
        return self.poll()

    def stop(self, *, kill: bool = False) -> int:
        """End the server, its stubs and their shared memory; return its exit code.

        Args:
            kill: At once, instead of letting requests in flight finish.
        """
        if not self._lifeline.closed:
            with contextlib.suppress(BrokenPipeError):
                self._lifeline.write(_keeper.KILL_REQUEST if kill else b"")
            self._lifeline.close()
        exit_code = self.wait(self._stop_timeout_s)
        if exit_code is None:
            # The kernel then kills the server, as the keeper has asked it to.
            self._keeper.kill()
            exit_code = self._keeper.wait()
        # There is nothing left of it, unless the keeper itself was killed.
        _keeper.remove_shared_memory(self._shm_prefix)
        return _shell_exit_code(exit_code)


@overload
def _shell_exit_code(code: int) -> int: ...
@overload
def _shell_exit_code(code: None) -> None: ...
def _shell_exit_code(code: int | None) -> int | None:
    return code if code is None or code >= 0 else 128 - code
