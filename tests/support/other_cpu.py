"""Runs things as on a CPU without VNNI, on one that has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx

AS_AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
"""oneDNN, whose kernels OpenVINO runs, then leaves newer instructions alone. It reads the variable
when it is loaded, so that a process of its own is needed."""
INFER = """
import sys
import numpy as np
from tritonseg_steps.openvino_engine import OpenvinoEngine
model, batch, output = sys.argv[1:]
np.save(output, OpenvinoEngine(model, "int8").infer(np.load(batch)))
"""


def run_as_avx2(*arguments: str | Path, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
    """Run this interpreter with arguments; what it prints comes back."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, **AS_AVX2},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def infer_as_avx2(model: onnx.ModelProto, batch: np.ndarray, folder: Path) -> np.ndarray:
    """What OpenVINO's step computes of a network on such a CPU."""
    onnx.save(model, folder / "as_avx2.onnx")
    np.save(folder / "batch.npy", batch)
    paths = [folder / name for name in ("as_avx2.onnx", "batch.npy", "output.npy")]
    done = run_as_avx2("-c", INFER, *paths)
    assert done.returncode == 0, done.stderr
    return np.load(folder / "output.npy")
