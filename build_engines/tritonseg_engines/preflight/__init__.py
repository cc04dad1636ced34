"""Whether NVIDIA's compiler takes a graph, asked on a machine without a GPU.

TensorRT-RTX compiles ahead of time. It shares parser, strongly typed rules and words with
TensorRT 11, so it refuses here what TensorRT would refuse on a rented GPU. Its engines are not
plans: Triton does not load them, and what they would compute is judged by the gate on the GPU.

Nothing here imports NVIDIA's libraries; they run in a process of their own.
"""

from tritonseg_engines.preflight.check import Preflight, preflight
from tritonseg_engines.preflight.compiler import Limits
from tritonseg_engines.preflight.errors import (
    CompilerCrashedError,
    CompilerMemoryError,
    CompilerTimeoutError,
    PreflightError,
    PreflightUnavailableError,
)
from tritonseg_engines.preflight.gpus import GPUS, TargetGpu, read_gpus
from tritonseg_engines.preflight.libraries import is_installed

__all__ = [
    "GPUS",
    "CompilerCrashedError",
    "CompilerMemoryError",
    "CompilerTimeoutError",
    "Limits",
    "Preflight",
    "PreflightError",
    "PreflightUnavailableError",
    "TargetGpu",
    "is_installed",
    "preflight",
    "read_gpus",
]
