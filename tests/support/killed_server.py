"""`tritonseg serve` to be killed: processes by name, readiness, what it leaves, masks."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import psutil

from tritonseg import RetryPolicy, SegmentationClient, SegmentationError
from tritonseg_engines.serving.health import health

PROBE_TIMEOUT_S = 1.0
PROBE_EVERY_S = 0.05
CALL_TIMEOUT_S = 5.0
END_WITHIN_S = 30.0
MASK, WRONG_MASK = "mask", "wrong mask"


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class KilledServer:
    """One run of the command, ready once this is there.

    Args:
        repository: What it serves.
        ports: For gRPC and HTTP.
        log: Where its stderr goes.
        temporary: Its TMPDIR.

    Attributes:
        launcher, keeper, triton: Process ids.
        stubs: Process ids by the name of the step, as `engine`.
    """

    def __init__(
        self, repository: Path, ports: Sequence[int], log: IO[str], temporary: Path
    ) -> None:
        grpc_port, http_port = ports
        self.grpc_url, self.http_url = f"127.0.0.1:{grpc_port}", f"127.0.0.1:{http_port}"
        self.begun_s = time.monotonic()
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "tritonseg", "serve", f"--repository={repository}",
                f"--grpc-port={grpc_port}", f"--http-port={http_port}",
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "TMPDIR": str(temporary)},
            text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("ready: "):
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"the server did not become ready: {Path(log.name).read_text()}")
        self.launcher = self.process.pid
        self.tree = psutil.Process(self.launcher).children(recursive=True)
        (triton,) = (one for one in self.tree if one.name() == "tritonserver")
        self.triton, self.keeper = triton.pid, triton.ppid()
        self.stubs = {
            Path(stub.cmdline()[1]).parts[-3].rpartition("_")[2]: stub.pid
            for stub in triton.children()
        }

    def kill(self, process_ids: Sequence[int]) -> float:
        """Send SIGKILL to them, all before any other has had time to act; return when."""
        killed_s = time.monotonic()
        for process_id in process_ids:
            with contextlib.suppress(ProcessLookupError):  # its parent's end may have ended it
                os.kill(process_id, signal.SIGKILL)
        return killed_s

    def is_gone(self) -> bool:
        """Return whether nothing of it runs; what nobody awaits has ended all the same."""
        return self.process.poll() is not None and not any(map(_runs, self.tree))

    def stop(self) -> int:
        """Stop it as Ctrl-C does; return its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def end(self) -> int:
        """Return its exit code once it has ended."""
        exit_code = self.process.wait(END_WITHIN_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return exit_code

    def regions(self) -> list[str]:
        """Return what there is of it in /dev/shm."""
        found = Path("/dev/shm").glob(f"*tritonseg_{self.launcher}_*")
        return sorted(file.name for file in found)

    def probes(self) -> dict[str, Callable[[], bool]]:
        """Return how readiness is asked for, by protocol."""
        return {"gRPC": self._is_ready_by_grpc, "HTTP": self._is_ready_by_http}

    def _is_ready_by_grpc(self) -> bool:
        return health(self.grpc_url, timeout_s=PROBE_TIMEOUT_S) == "SERVING"

    def _is_ready_by_http(self) -> bool:
        url = f"http://{self.http_url}/v2/health/ready"
        try:
            with urllib.request.urlopen(url, timeout=PROBE_TIMEOUT_S) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def unready_s(server: KilledServer, killed_s: float, within_s: float) -> dict[str, float | None]:
    """Ask until it is gone; return from when on it was not ready, by protocol, since the kill.

    None where it was ready to the end, or longer than `within_s`.
    """
    since_s: dict[str, float | None] = dict.fromkeys(server.probes())
    while time.monotonic() < killed_s + within_s:
        is_gone = server.is_gone()
        for name, is_ready in server.probes().items():
            if is_ready():
                since_s[name] = None
            elif since_s[name] is None:
                since_s[name] = time.monotonic() - killed_s
        if is_gone and None not in since_s.values():
            break
        time.sleep(PROBE_EVERY_S)
    return since_s


class Asking:
    """Somebody who asks for a mask all the time, without retries, of whatever serves at an address.

    Args:
        url: Of the gRPC.
        model: Its name.
        picture: `(H, W, 3)` uint8.
        expected: Its mask, `(H, W)`, and where rounding cannot move it.
    """

    def __init__(
        self, url: str, model: str, picture: np.ndarray, expected: tuple[np.ndarray, np.ndarray]
    ) -> None:
        self._picture = picture
        self._mask, self._stable = expected
        self._found: Counter[str] = Counter()
        self._right_s = 0.0
        self._lock, self._stopped = threading.Lock(), threading.Event()
        once = RetryPolicy(max_retries=0)
        self._client = SegmentationClient(url, model=model, retry=once, timeout_s=CALL_TIMEOUT_S)

    @contextlib.contextmanager
    def running(self) -> Iterator[Asking]:
        """Ask for the time of a `with` block."""
        thread = threading.Thread(target=self._ask)
        thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            thread.join()
            self._client.close()

    def taken(self) -> Counter[str]:
        """Return what it got since this was asked before: masks, wrong ones, errors by name."""
        with self._lock:
            found, self._found = self._found, Counter()
        return found

    def right_after_s(self, begun_s: float, within_s: float) -> float | None:
        """Wait for a right mask that came after a moment; return how long after, or None."""
        while time.monotonic() < begun_s + within_s:
            with self._lock:
                if self._right_s > begun_s:
                    return self._right_s - begun_s
            time.sleep(PROBE_EVERY_S)
        return None

    def _ask(self) -> None:
        while not self._stopped.is_set():
            try:
                class_map = self._client.segment(self._picture).class_map
                is_right = np.array_equal(class_map[self._stable], self._mask[self._stable])
                outcome = MASK if is_right else WRONG_MASK
            except SegmentationError as error:
                outcome = type(error).__name__
            except Exception as error:  # noqa: BLE001 - which must not be
                outcome = f"foreign exception: {error!r}"
            with self._lock:
                self._found[outcome] += 1
                if outcome == MASK:
                    self._right_s = time.monotonic()
            if outcome != MASK:
                time.sleep(PROBE_EVERY_S)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
