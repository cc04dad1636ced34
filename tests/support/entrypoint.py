"""The entrypoint of both server images, run here as the Dockerfile has it, on ports of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from dockerfiles import stages

PID_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
"""As a container has it: the entrypoint is process 1, and all in it end with it."""
OVERRIDES = (
    "--host=127.0.0.1",
    "--metrics-host=127.0.0.1",
    "--grpc-port=0",
    "--metrics-port=0",
    "--verify-metrics-port=0",
)


def entrypoint(repository: Path, *arguments: str) -> list[str]:
    """Return the command line, with a folder of this machine and free ports."""
    program, *words = stages("Dockerfile.cpu")[-1].command("ENTRYPOINT")
    path = Path(sys.executable).with_name(program)
    words[words.index("--repository=/models")] = f"--repository={repository}"
    return [str(path), *words, *OVERRIDES, *arguments]


def can_make_a_pid_namespace() -> bool:
    """Tell whether this user may, which root may outside of most containers."""
    try:
        return subprocess.run([*PID_NAMESPACE, "true"], check=False).returncode == 0
    except FileNotFoundError:
        return False


class Served:
    """The entrypoint as process 1 of a PID namespace, ready once this is made."""

    def __init__(self, repository: Path, log: Path, prefix: Sequence[str] = PID_NAMESPACE) -> None:
        self.log = log
        with log.open("wb") as stream:
            self._outer = subprocess.Popen(
                [*prefix, *entrypoint(repository)],
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )
        assert self._outer.stdout is not None
        self.said = self._outer.stdout.readline()
        found = re.fullmatch(
            r"ready: gRPC on (\S+), metrics on ([^\s,]+)(?:, canaries on (\S+))?"
            r"; Ctrl-C stops it\n",
            self.said,
        )
        if found is None:
            self.kill()
        assert found is not None, self.said + log.read_text()
        self.url, self.metrics_url, self.canaries_url = found.groups()
        (self.first,) = psutil.Process(self._outer.pid).children()
        self.processes = [self.first, *self.first.children(recursive=True)]

    def end(self, timeout_s: float = 30) -> int:
        """Wait for the end; return the exit code."""
        return self._outer.wait(timeout_s)

    def kill(self) -> None:
        """End all of it at once, as `docker kill` does."""
        if self._outer.poll() is None:
            self._outer.kill()  # the namespace goes with it
            self._outer.wait()
        assert self._outer.stdout is not None
        self._outer.stdout.close()
