"""The same picture through the same network by other ways to serve it, client and wire included.

Every peer is a script in `peer_workers/`, written as its own documentation writes it, in an
environment that its requirements allow; only the runtime (OpenVINO, fp32) is the same for all.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numpy as np
from cases import Case
from contenders import SINGLE, served
from numpy.typing import NDArray
from pace import Pace, RateOf, closed_loop_rate, latencies_ms, rates
from results import markdown_table

MODELS = ("hrnetv2-w18-small-v1-cityscapes", "fastseg-small")
CONCURRENCIES = (4, 8)
LOG_CHARACTERS = 3000
WORKERS = Path(__file__).parent / "peer_workers"
PYTRITON = "PyTriton callable"
OTHERS = {"Model API, in process": "model_api_peer.py", "LitServe": "litserve_peer.py"}
"""Peers whose requirements conflict with the server's, in an environment of their own."""
REQUIREMENTS = (
    "openvino-model-api[onnx]==0.4.7",
    "litserve==0.2.19",
    "python-multipart==0.0.34",
    "requests==2.34.2",
)


class Peer:
    """A peer's process, which answers one command at a time.

    Args:
        commands: Its standard input, unbuffered; it ends with that.
        answers: What it writes its answers to.
        log: File with all else that it and its libraries write.
    """

    def __init__(self, commands: IO[bytes], answers: IO[str], log: Path) -> None:
        self._commands = commands
        self._answers = answers
        self._log = log

    def segment_ms(self) -> float:
        """Return how long one picture took there, in milliseconds."""
        return float(self._ask({"do": "segment"})["ms"])

    def rate(self, concurrency: int, loop_s: float) -> float:
        """Return pictures a second in a closed loop there."""
        answer = self._ask({"do": "loop", "concurrency": concurrency, "loop_s": loop_s})
        return float(answer["rate"])

    def class_map(self, path: Path) -> NDArray[np.uint8]:
        """Return what it makes of the picture; it goes through a file."""
        self._ask({"do": "save", "path": str(path)})
        class_map: NDArray[np.uint8] = np.load(path)
        return class_map

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):  # the missing answer says it better
            self._commands.write(f"{json.dumps(command)}\n".encode())
        line = self._answers.readline()
        if not line:
            wrote = self._log.read_text()[-LOG_CHARACTERS:]
            raise RuntimeError(f"{self._log.stem} ended without an answer; it wrote:\n{wrote}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(case: Case, folder: Path, pace: Pace, *, venv: Path) -> dict[str, Any]:
    """Return median milliseconds, pictures a second and equal pixels by contender."""
    pythons = {PYTRITON: (sys.executable, "pytriton_peer.py")}
    pythons |= {name: (str(peers_python(venv)), script) for name, script in OTHERS.items()}
    image = folder / f"{case.spec.name}.npy"
    np.save(image, case.image_hwc)
    with ExitStack() as stack:
        one = stack.enter_context(served(case, folder, naive=False))
        peers = {
            name: stack.enter_context(started_peer(python, WORKERS / script, case.export, image))
            for name, (python, script) in pythons.items()
        }
        expected = case.expected()
        maps = {name: call() for name, call in one.segment.items()}
        maps |= {name: peer.class_map(folder / "mask.npy") for name, peer in peers.items()}
        times_ms = _latencies_ms(one.segment, peers, pace)
        loops = {name: _own_loop(call, pace) for name, call in one.segment.items()}
        loops |= {name: _peer_loop(peer, pace) for name, peer in peers.items()}
        by_concurrency = rates(loops, CONCURRENCIES, pace.loop_rounds)
    return {
        "rounds": pace.rounds,
        "loop_rounds": pace.loop_rounds,
        "loop_s": pace.loop_s,
        "versions": {"nvidia-pytriton": version("nvidia-pytriton"), "others": REQUIREMENTS},
        "median_ms": {name: statistics.median(values) for name, values in times_ms.items()},
        "pictures_per_s": by_concurrency,
        "saturated": {name: max(found.values()) for name, found in by_concurrency.items()},
        "equal_pixels": {name: float((found == expected).mean()) for name, found in maps.items()},
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return a table for each model, and the peers' versions."""
    first = next(iter(results.values()))
    versions = [f"nvidia-pytriton {first['versions']['nvidia-pytriton']}"]
    versions += [one.replace("==", " ") for one in first["versions"]["others"]]
    paces = f"{first['rounds']} rounds; loops {first['loop_rounds']} x {first['loop_s']:g} s"
    parts = [f"{', '.join(versions)}. {paces}."]
    parts += [_model_table(model, one) for model, one in results.items()]
    return "\n\n".join(parts)


def _model_table(model: str, one: dict[str, Any]) -> str:
    time_ms, rate = one["median_ms"], one["saturated"]
    rows = [
        [
            name,
            f"{time_ms[name]:.1f} ms",
            f"{time_ms[name] / time_ms[SINGLE]:.2f}",
            f"{rate[name]:.2f} /s",
            f"{rate[name] / rate[SINGLE]:.2f}",
            f"{one['equal_pixels'][name]:.4%}",
        ]
        for name in time_ms
    ]
    header = [model, "one caller", "to single's", "saturated", "to single's",
              "pixels equal"]  # fmt: skip
    return markdown_table(header, rows)


def peers_python(venv: Path) -> Path:
    """Return the Python of the peers' environment, which is made if it is not there."""
    python, done = venv / "bin" / "python", venv / "installed"
    wanted = "\n".join([*REQUIREMENTS, f"openvino=={version('openvino')}"])
    if not done.exists() or done.read_text() != wanted:
        print(f"installing the peers into {venv}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted.split()], check=True)
        done.write_text(wanted)
    return python


@contextmanager
def started_peer(python: str, script: Path, onnx: Path, image: Path) -> Iterator[Peer]:
    """Run a peer's script for the time of a block.

    Args:
        python: Interpreter of its environment.
        script: One of `peer_workers`.
        onnx: The export that it is to serve.
        image: `.npy` file of the picture; the peer's log is written beside it.
    """
    log = image.with_name(f"{script.stem}.log")
    answers, to_write = os.pipe()
    command = [python, str(script), "--onnx", str(onnx), "--image", str(image)]
    path = os.pathsep.join([str(WORKERS.parent), str(WORKERS)])
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--answers", str(to_write)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            bufsize=0,  # or closing would try again to write to a peer that has died
            pass_fds=[to_write],
            env={**os.environ, "PYTHONPATH": path},
        )
    os.close(to_write)
    assert process.stdin is not None
    with process, open(answers) as lines:  # noqa: PTH123 - it has no path
        yield Peer(process.stdin, lines, log)


def _latencies_ms(
    calls: Mapping[str, Callable[[], object]], peers: Mapping[str, Peer], pace: Pace
) -> dict[str, list[float]]:
    """Like `latencies_ms`, but a peer's own clock counts, without the pipe to it."""
    counted: dict[str, list[float]] = {name: [] for name in peers}

    def by_its_clock(name: str) -> Callable[[], object]:
        return lambda: counted[name].append(peers[name].segment_ms())

    times_ms = latencies_ms({**calls, **{name: by_its_clock(name) for name in peers}}, pace)
    for name, values in counted.items():
        times_ms[name] = values[pace.warm_up :]
    return times_ms


def _own_loop(call: Callable[[], object], pace: Pace) -> RateOf:
    return lambda concurrency: closed_loop_rate(call, concurrency=concurrency, loop_s=pace.loop_s)


def _peer_loop(peer: Peer, pace: Pace) -> RateOf:
    return lambda concurrency: peer.rate(concurrency, pace.loop_s)
