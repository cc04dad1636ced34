"""Which GPUs and which TensorRT this machine has, or why it has none."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tritonseg_engines.tensorrt.errors import TensorRTUnavailableError

PROBE_TIMEOUT_S: Final = 60.0
"""Waking eight GPUs without persistence mode takes some 20 s."""
_PROBE: Final = Path(__file__).with_name("_machine_probe.py")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One GPU as CUDA shows it.

    Attributes:
        name: Product name, e.g. "NVIDIA L4".
        compute_capability: E.g. "8.9".
        memory_bytes: All of its memory.
        driver_version: Of NVIDIA's driver, e.g. "570.86.15"; None if it does not tell.
        cuda_version: Newest CUDA that the driver runs, e.g. "12.8".
    """

    name: str
    compute_capability: str
    memory_bytes: int
    driver_version: str | None
    cuda_version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What a plan depends on.

    Attributes:
        gpus: Those visible to this process, in CUDA's order; TensorRT builds on the first.
        no_gpu_reason: Why `gpus` is empty, as a clause.
        tensorrt_version: E.g. "10.16.1.11"; three parts where only the library is there.
        no_tensorrt_reason: Why `tensorrt_version` is None, as a clause.
    """

    gpus: tuple[Gpu, ...] = ()
    no_gpu_reason: str | None = None
    tensorrt_version: str | None = None
    no_tensorrt_reason: str | None = None

    def first_gpu(self) -> Gpu:
        """Return the GPU that TensorRT builds on.

        Raises:
            TensorRTUnavailableError: There is none.
        """
        if not self.gpus:
            raise TensorRTUnavailableError(
                f"no GPU to build a TensorRT plan on: {self.no_gpu_reason}. A plan is built on "
                "the kind of GPU that serves it: run the same command there, or build for the "
                "CPU with --runtime openvino"
            )
        return self.gpus[0]


def inspect_machine(timeout_s: float = PROBE_TIMEOUT_S) -> Machine:
    """Ask CUDA's driver and TensorRT in a process of their own.

    Never raises and never ends this process: whatever happens there becomes a reason.
    """
    command = [sys.executable, "-I", str(_PROBE), json.dumps(sys.path)]
    try:
        probe = subprocess.run(  # noqa: S603 - our own program
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return _unknown(f"the NVIDIA driver did not answer within {timeout_s:g} s")
    if probe.returncode != 0:
        return _unknown(f"asking the NVIDIA driver and TensorRT failed: {_ending(probe)}")
    # Libraries print to stdout as they load; the answer is the last line.
    document: dict[str, Any] = json.loads(probe.stdout.splitlines()[-1])
    gpus = tuple(Gpu(**gpu) for gpu in document.pop("gpus"))
    return Machine(gpus=gpus, **document)


def _unknown(reason: str) -> Machine:
    return Machine(no_gpu_reason=reason, no_tensorrt_reason=reason)


def _ending(probe: subprocess.CompletedProcess[str]) -> str:
    if probe.returncode < 0:
        return f"the process was ended by {signal.Signals(-probe.returncode).name}"
    lines = probe.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {probe.returncode}"
