"""`tritonseg serve` in a process of its own, with everything on free ports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import psutil

import wrong_on_demand

FREE_PORTS = ("--grpc-port=0", "--metrics-port=0", "--verify-metrics-port=0")


class ServedByCommand:
    """The command, ready once a `with` block begins; killed at its end with what is left of it.

    Args:
        repository: What it serves.
        log: Where its log goes.
        options: More of `tritonseg serve`.
        wrong_once: It gives other masks as soon as there is a file of this name.
    """

    def __init__(
        self, repository: Path, log: Path, *options: str, wrong_once: Path | None = None
    ) -> None:
        program = (
            ["-m", "tritonseg", "serve"]
            if wrong_once is None
            else [wrong_on_demand.__file__, str(wrong_once)]
        )
        self._command = [sys.executable, *program, f"--repository={repository}", *FREE_PORTS]
        self._command += options
        self.log = log

    def __enter__(self) -> ServedByCommand:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        assert ready.startswith("ready: "), ready + self.log.read_text()
        self.addresses = dict(re.findall(r"(\w+) on ([^\s,;]+)", ready))
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                for child in psutil.Process(self.process.pid).children(recursive=True):
                    child.kill()
                self.process.kill()
                self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
