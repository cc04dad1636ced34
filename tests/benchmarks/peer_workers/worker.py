"""What every peer's script has in common: it answers the benchmark's commands on its own terms.

A peer runs in an environment of its own, with the folder above on PYTHONPATH, so this module and
what it imports need NumPy and the standard library only. Commands come as JSON lines and are
answered as such; what is measured lies inside the peer's process, client and wire included, and
the pipe outside of it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pace import closed_loop_rate, time_ms

START_TIMEOUT_S = 300
STOP_TIMEOUT_S = 20

# In units of 0-1; all benchmarked models take ImageNet's statistics and RGB.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)

Segment = Callable[[NDArray[np.uint8]], NDArray[np.integer[Any]]]
"""`(H, W, 3)` uint8 RGB to `(H, W)` class indices."""
RateOf = Callable[[int, float], float]
"""Concurrency and seconds to pictures a second."""


@dataclass(frozen=True)
class Job:
    """What the benchmark asks a peer to serve.

    Attributes:
        onnx: The export, the upsampling to full size included.
        image_hwc: The picture.
        answers: File descriptor to write answers to; standard output is for what libraries print.
    """

    onnx: Path
    image_hwc: NDArray[np.uint8]
    answers: int


def parse_job() -> tuple[Job, argparse.Namespace]:
    """Read the command line that every peer's script has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--answers", type=int, required=True, metavar="FD")
    parser.add_argument("--serve", type=int, metavar="PORT", help="be the server, not the caller")
    arguments = parser.parse_args()
    image_hwc = np.load(arguments.image)
    return Job(onnx=arguments.onnx, image_hwc=image_hwc, answers=arguments.answers), arguments


def answer_commands(job: Job, segment: Segment, rate: RateOf | None = None) -> None:
    """Answer commands until standard input ends.

    Args:
        job: What is measured.
        segment: One picture, start to end.
        rate: The peer's own way to many at once; threads that call `segment` unless given.
    """
    with open(job.answers, "w") as answers:  # noqa: PTH123 - it has no path
        for line in sys.stdin:
            answer = _answer(json.loads(line), job, segment, rate)
            print(json.dumps(answer), file=answers, flush=True)


def _answer(
    command: dict[str, Any], job: Job, segment: Segment, rate: RateOf | None
) -> dict[str, Any]:
    if command["do"] == "segment":
        return {"ms": time_ms(lambda: segment(job.image_hwc))}
    if command["do"] == "save":
        np.save(command["path"], segment(job.image_hwc).astype(np.uint8))
        return {"path": command["path"]}
    concurrency, loop_s = command["concurrency"], command["loop_s"]
    if rate is not None:
        return {"rate": rate(concurrency, loop_s)}
    call = lambda: segment(job.image_hwc)  # noqa: E731
    return {"rate": closed_loop_rate(call, concurrency=concurrency, loop_s=loop_s)}


@contextlib.contextmanager
def own_server(script: str, job_arguments: list[str], ready: Callable[[int], str]) -> Iterator[int]:
    """Run the script again as its server, in a process group that ends with the block.

    Args:
        script: The peer's script.
        job_arguments: Its command line so far.
        ready: Port to the URL that answers once the server is.

    Yields:
        The port.
    """
    # Being ended is to end the server, too, which is in a session of its own.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    port = _free_port()
    command = [sys.executable, script, *job_arguments, "--serve", str(port)]
    server = subprocess.Popen(
        command, stdout=sys.stderr, start_new_session=True, env=_activated_environment()
    )
    try:
        _await_ready(server, ready(port))
        yield port
    finally:
        _end(server)


def _activated_environment() -> dict[str, str]:
    """Return this process's, with its own Python first, as an activated environment has it.

    PyTriton's documentation asks for the folder of libpython as well, where Python is not the
    system's own.
    """
    first = {
        "PATH": str(Path(sys.executable).parent),
        "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR")),
    }
    joined = {key: os.pathsep.join([path, os.environ.get(key, "")]) for key, path in first.items()}
    return {**os.environ, **joined}


def _await_ready(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the peer's server ended with {server.returncode}; see its output")
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.2)
    raise RuntimeError(f"the peer's server is not ready after {START_TIMEOUT_S} s")


def _end(server: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(STOP_TIMEOUT_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
