"""Keep one server: a small program of its own between the launcher and `tritonserver`.

    launcher ──stdin──▶ keeper ──▶ tritonserver ──▶ a stub for each Python model

The keeper ends the server, its stubs and their shared memory however the end comes about: the
launcher asks, the launcher dies (even by SIGKILL), the server dies, or somebody ends the keeper.
And where a stub dies: Triton stays "ready" without it, and what waited for it waits for ever.
PR_SET_PDEATHSIG on the server alone would not do: it fires when the *thread* that started the
server ends, leaves the regions in /dev/shm, and needs a `preexec_fn` in a process with threads.
The keeper has one thread, which lives as long as it does, so here it is safe as the last resort.

Where everything is killed at once, as containers are, nobody is left to clean up, and /dev/shm may
outlive them (in a pod it does). So keeper, server and stubs hold a lock beside their regions, and
the next keeper removes those whose lock nobody holds any more, whoever's process ids they bear.

It runs as a file, isolated (`python -I -S`), and therefore imports the standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import glob
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

KILL_REQUEST: Final = b"k"
"""On the keeper's stdin: end the server at once. The end of its stdin asks for a clean stop."""
WATCH_REQUEST: Final = b"w"
"""On the keeper's stdin: all stubs are there now, and none ends while the server is in order."""
WATCH_CHANGING_REQUEST: Final = b"c"
"""On the keeper's stdin: stubs come and go with their models; one that died is to be noticed."""
STUB_LOST: Final = 70
"""Exit code where the server was ended because a stub had. Source: EX_SOFTWARE in sysexits.h."""
SHM_PREFIX: Final = "triton_python_backend_shm_region_tritonseg_"
"""How the names of the regions of all servers of ours begin. Servers from 25.07 on let no client
register a region that begins like the first half of it, which keeps clients out of the Python
backend's memory (CVE-2025-23334).
Source: kTritonSharedMemoryRegionPrefix in the server's src/shared_memory_manager.cc."""
WORK_DIRECTORY_PREFIX: Final = "tritonseg-serve-"
REAP_TIMEOUT_S: Final = 2.0
"""How long killed processes may take to be gone."""

_POLL_INTERVAL_S: Final = 0.1
_WATCH_INTERVAL_S: Final = 1.0
_UNAWAITED_S: Final = 5.0
"""How long a stub that ended may be a zombie before it counts as lost."""
_CANNOT_START: Final = 127
_LOCK_NAME: Final = "lock"
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory
_ESTABLISHED: Final = "01"
"""Source: proc_net_tcp in the kernel's documentation; the state is a row's fourth field."""
# Source: linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


def main(arguments: list[str]) -> int:
    """Run `LAUNCHER_PID WORK_DIRECTORY SHM_PREFIX GRACE_S TEARDOWN_S COMMAND...` to its end.

    The server writes to the keeper's stderr. On its stdout the keeper writes one line: the
    server's process id, or what kept it from starting.

    Returns:
        The server's exit code, 128 + n where signal n ended it, as in a shell; `STUB_LOST`.
    """
    launcher_pid, work_directory, shm_prefix, grace_s, teardown_s, *command = arguments
    signals = _collected_signals()
    try:
        remove_abandoned()
        lock = _hold_lock(shm_prefix, work_directory)
        server = _start(command, work_directory, lock)
    except OSError as error:
        _report(f"{error.filename or command[0]}: {error.strerror}")
        remove_shared_memory(shm_prefix)
        return _CANNOT_START
    is_drained = is_broken = False
    try:
        _report(str(server.pid))
        try:
            if _stop_is_requested(server, int(launcher_pid), signals):
                is_drained = _drain(server, float(grace_s), float(teardown_s))
        except _StubLostError as error:
            is_broken = True
            sys.stderr.write(f"{error}; the server is ended with it\n")
    finally:
        exit_code = _end_process_group(server)
        remove_shared_memory(shm_prefix)
        if os.getppid() != int(launcher_pid):
            shutil.rmtree(work_directory, ignore_errors=True)
    if is_drained:
        return 0
    if is_broken:
        return STUB_LOST
    return exit_code if exit_code >= 0 else 128 - exit_code


def remove_shared_memory(prefix: str) -> None:
    """Remove every shared-memory region whose name begins with `prefix`."""
    for region in _SHARED_MEMORY.glob(glob.escape(prefix) + "*"):
        region.unlink(missing_ok=True)


def remove_abandoned() -> None:
    """Remove the regions and directories of servers of ours of which no process is left."""
    for path in _SHARED_MEMORY.glob(f"{SHM_PREFIX}*_{_LOCK_NAME}"):
        # Another user's may not be opened; another keeper may be removing it.
        with contextlib.suppress(OSError), path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock.fileno()).st_uid == os.geteuid():
                work_directory = Path(os.fsdecode(lock.read()))
                if work_directory.name.startswith(WORK_DIRECTORY_PREFIX):
                    shutil.rmtree(work_directory, ignore_errors=True)
                remove_shared_memory(path.name.removesuffix(_LOCK_NAME))


def _hold_lock(shm_prefix: str, work_directory: str) -> int:
    """Lock a file beside the regions to come; return its descriptor, for those who share it."""
    unfinished = _SHARED_MEMORY / f".{shm_prefix}{_LOCK_NAME}"
    lock = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.write(lock, os.fsencode(work_directory))
    # Only now under the name that others look for: they must never find it without its lock.
    unfinished.rename(_SHARED_MEMORY / f"{shm_prefix}{_LOCK_NAME}")
    return lock


def _collected_signals() -> list[int]:
    """Return a list to which every signal to end is appended from now on."""
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: signals.append(received))
    return signals


def _start(command: list[str], work_directory: str, lock: int) -> subprocess.Popen[bytes]:
    libc = ctypes.CDLL(None)
    # Stubs that outlive the server become the keeper's children, whose end it can await.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return subprocess.Popen(  # noqa: S603 - the command is the launcher's
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        # Not the launcher's, because a stub looks imports up in its current directory first.
        cwd=work_directory,
        pass_fds=[lock],
        # A session is a process group, too: what ends the server ends its stubs.
        start_new_session=True,
        preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
    )


def _report(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), f"{line}\n".encode())


def _stop_is_requested(
    server: subprocess.Popen[bytes], launcher_pid: int, signals: list[int]
) -> bool:
    """Wait; return True to stop the server cleanly, False if it ended or must end at once.

    Raises:
        _StubLostError: A stub ended, and none was to.
    """
    launcher = sys.stdin.fileno()
    watch = None
    while server.poll() is None:
        lost = None if watch is None else watch.lost()
        if lost is not None and server.poll() is None:  # or else it ended because the server did
            raise _StubLostError(f"the process of a model ended by itself (process {lost})")
        # A process forked off the launcher may hold the other end of stdin open for longer.
        if signals or os.getppid() != launcher_pid:
            return True
        readable, _, _ = select.select([launcher], [], [], _POLL_INTERVAL_S)
        if readable:
            request = os.read(launcher, 1)
            if request not in (WATCH_REQUEST, WATCH_CHANGING_REQUEST):
                return request != KILL_REQUEST
            watch = _StubWatch(server.pid, models_stay=request == WATCH_REQUEST)
    return False


class _StubLostError(Exception):
    """A stub ended, and none was to."""


class _StubWatch:
    """Sees which stubs a server has lost.

    Triton awaits a stub that it has told to end, and in 2 s or so one that ended in `initialize`,
    and leaves one that died later a zombie. One that ended before `initialize`, as where model.py
    goes while the model is loaded, Triton does not notice: it waits for the first message for ever
    (`StubLauncher::Launch`), that load or all polling hangs, and it does not end by SIGTERM. So
    what stays a zombie was lost (all of it measured with 2.51). Where no model is to go, one that
    has ended in any way was lost.
    """

    def __init__(self, server_pid: int, *, models_stay: bool) -> None:
        self._server_pid = server_pid
        # One that has just ended is among them.
        self._kept = _children(server_pid) if models_stay else set()
        self._dead_since_s: dict[int, float] = {}
        self._next_look_s = time.monotonic() + _WATCH_INTERVAL_S

    def lost(self) -> int | None:
        """Return a stub that has ended, or None; looks only once in a while."""
        now_s = time.monotonic()
        if now_s < self._next_look_s:
            return None
        self._next_look_s = now_s + _WATCH_INTERVAL_S
        children = _children(self._server_pid)
        dead = {child for child in children if _is_zombie(child)}
        self._dead_since_s = {child: self._dead_since_s.get(child, now_s) for child in dead}
        left = {
            child for child, since_s in self._dead_since_s.items() if now_s - since_s > _UNAWAITED_S
        }
        return min((self._kept - (children - dead)) | left, default=None)


def _drain(server: subprocess.Popen[bytes], grace_s: float, teardown_s: float) -> bool:
    """Ask the server to stop; return True once nothing but its own teardown is left to await.

    Its gRPC may take 10 s more to go down than anybody needs: after a large response a thread of
    it sleeps for that long, and is joined (`run_poller` in gRPC's tcp_posix.cc, Triton 2.51). So
    once its stubs have ended, which they do after the last request, and no client is connected,
    it gets only `teardown_s`.
    """
    had_stubs = bool(_children(server.pid))
    server.terminate()
    deadline = time.monotonic() + grace_s
    busy_until = time.monotonic()
    while server.poll() is None and time.monotonic() < deadline:
        if not had_stubs or _children(server.pid) or _has_connections(server.pid):
            busy_until = time.monotonic()
        elif time.monotonic() - busy_until > teardown_s:
            return True
        time.sleep(_POLL_INTERVAL_S)
    return False


def _children(process_id: int) -> set[int]:
    children: set[int] = set()
    for file in Path(f"/proc/{process_id}/task").glob("*/children"):
        # A thread may have ended meanwhile; its children are another thread's then.
        with contextlib.suppress(OSError):
            children.update(map(int, file.read_text().split()))
    return children


def _is_zombie(process_id: int) -> bool:
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except OSError:
        return True
    # The name before it may hold anything, parentheses too. Source: proc_pid_stat(5).
    return status.rpartition(")")[2].split()[0] in "ZX"


def _has_connections(process_id: int) -> bool:
    """Tell whether the process has an established TCP connection, or cannot be asked."""
    process = Path("/proc", str(process_id))
    try:
        sockets = {str(file.readlink()) for file in (process / "fd").iterdir()}
        tables = [(process / "net" / name).read_text() for name in ("tcp", "tcp6")]
    except OSError:
        return True
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return any(row[3] == _ESTABLISHED and f"socket:[{row[9]}]" in sockets for row in rows)


def _end_process_group(server: subprocess.Popen[bytes]) -> int:
    """Kill what is left of the server and its stubs; return the server's exit code."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    exit_code = server.wait()
    deadline = time.monotonic() + REAP_TIMEOUT_S
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            process_id, _ = os.waitpid(-1, os.WNOHANG)
            if process_id == 0:
                time.sleep(_POLL_INTERVAL_S / 10)
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
