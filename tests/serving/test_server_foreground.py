"""The foreground command ends well, and the server ends with it however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tritonseg_engines.serving import TritonInstallation

pytestmark = pytest.mark.e2e

SERVE = """
import sys
from pathlib import Path
from tritonseg_engines.serving import ServerConfig, TritonServer, run_until_signal

server = TritonServer(ServerConfig(repositories=(Path(sys.argv[1]),)))
sys.exit(run_until_signal(server, on_ready=lambda: print("ready", flush=True)))
"""

SERVE_STARTED = """
import sys
from pathlib import Path
from tritonseg_engines.serving import ServerConfig, TritonServer, run_until_signal

with TritonServer(ServerConfig(repositories=(Path(sys.argv[1]),))) as server:
    print("ready", flush=True)
    sys.exit(run_until_signal(server))
"""

FORK_AND_SERVE = """
import os, signal, sys, time
from pathlib import Path
from tritonseg_engines.serving import ServerConfig, TritonServer

server = TritonServer(ServerConfig(repositories=(Path(sys.argv[1]),)))
server.start()
child = os.fork()
if child == 0:
    signal.pause()
print(child, flush=True)
signal.pause()
"""


class Serving:
    """A process that serves in the foreground, and all that belongs to it."""

    def __init__(self, code: str, repository: Path, temporary: Path) -> None:
        self.temporary = temporary
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(repository)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(temporary)},
            text=True,
        )

    def next_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def await_descendants(self, at_least: int) -> list[psutil.Process]:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            descendants: list[psutil.Process] = psutil.Process(self.process.pid).children(
                recursive=True
            )
            if len(descendants) >= at_least:
                return descendants
            time.sleep(0.05)
        raise AssertionError(f"only {descendants}")

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.fixture
def serve(installation: TritonInstallation, tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    started: list[Serving] = []

    def start(repository: Path, code: str = SERVE) -> Serving:
        temporary = tmp_path / "tmp"
        temporary.mkdir()
        started.append(Serving(code, repository, temporary))
        return started[-1]

    yield start
    for serving in started:
        serving.process.kill()
        serving.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_and_a_second_one_changes_nothing(
    serve: Callable[..., Serving],
    repository: Path,
    number: signal.Signals,
    is_gone: Callable[..., bool],
    shm_regions: Callable[[int], list[str]],
) -> None:
    serving = serve(repository)
    assert serving.next_line() == "ready"
    descendants = serving.await_descendants(at_least=3)
    assert shm_regions(serving.process.pid)
    serving.process.send_signal(number)
    time.sleep(0.5)
    serving.process.send_signal(number)
    assert serving.end() == (0, "")
    assert is_gone(descendants)
    assert shm_regions(serving.process.pid) == []
    assert list(serving.temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_server_ends_with_a_launcher_that_dies(
    serve: Callable[..., Serving],
    repository: Path,
    number: signal.Signals,
    is_gone: Callable[..., bool],
    shm_regions: Callable[[int], list[str]],
) -> None:
    serving = serve(repository)
    assert serving.next_line() == "ready"
    descendants = serving.await_descendants(at_least=3)
    serving.process.send_signal(number)
    assert serving.process.wait(timeout=5) == -number
    assert is_gone(descendants, within_s=10)
    assert shm_regions(serving.process.pid) == []
    assert list(serving.temporary.iterdir()) == []


def test_a_forked_child_of_a_launcher_that_dies_does_not_keep_the_server(
    serve: Callable[..., Serving],
    repository: Path,
    is_gone: Callable[..., bool],
    shm_regions: Callable[[int], list[str]],
) -> None:
    serving = serve(repository, FORK_AND_SERVE)
    child = psutil.Process(int(serving.next_line()))
    descendants = serving.await_descendants(at_least=4)
    try:
        serving.process.kill()
        assert is_gone([process for process in descendants if process != child], within_s=10)
        assert child.is_running()
    finally:
        child.kill()
    assert shm_regions(serving.process.pid) == []
    assert list(serving.temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_models_load_leaves_nothing(
    serve: Callable[..., Serving],
    repository: Path,
    number: signal.Signals,
    write_model: Callable[..., Path],
    is_gone: Callable[..., bool],
    shm_regions: Callable[[int], list[str]],
) -> None:
    serving = serve(write_model(repository, "slow", initialize="import time; time.sleep(600)"))
    descendants = serving.await_descendants(at_least=4)
    signalled = time.monotonic()
    serving.process.send_signal(number)
    assert serving.end() == (0, "")
    assert time.monotonic() - signalled < 5
    assert is_gone(descendants)
    assert shm_regions(serving.process.pid) == []
    assert list(serving.temporary.iterdir()) == []


def test_a_server_that_ends_by_itself_is_reported(
    serve: Callable[..., Serving], repository: Path
) -> None:
    serving = serve(repository, SERVE_STARTED)
    assert serving.next_line() == "ready"
    (server,) = (p for p in serving.await_descendants(at_least=3) if p.name() == "tritonserver")
    server.kill()
    exit_code, errors = serving.end()
    assert exit_code == 128 + signal.SIGKILL
    (log,) = serving.temporary.glob("*/*")
    assert f"exit code 137; its log is {log}" in errors
