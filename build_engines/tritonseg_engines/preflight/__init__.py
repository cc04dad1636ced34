"""Whether NVIDIA's compiler takes a graph, asked on a machine without a GPU.

TensorRT-RTX compiles ahead of time. It shares parser, strongly typed rules and words with
TensorRT 11, so it refuses here what TensorRT would refuse on a rented GPU. Its engines are not
plans: Triton does not load them, and what they would compute is judged by the gate on the GPU.

Nothing here imports NVIDIA's libraries; they run in a process of their own.
"""

from tritonseg_engines.gate.layer_precision import shares_text
from tritonseg_engines.preflight.check import Preflight, asked_sizes, preflight
from tritonseg_engines.preflight.errors import (
    CompilerCrashedError,
    CompilerMemoryError,
    CompilerTimeoutError,
    GraphRefusedError,
    PreflightError,
    PreflightUnavailableError,
)
from tritonseg_engines.preflight.gpus import GPUS, USUAL_GPUS, TargetGpu, read_gpus
from tritonseg_engines.preflight.libraries import LICENCE, find_compiler, is_installed
from tritonseg_engines.preflight.limits import Limits
from tritonseg_engines.preflight.own_checks import own_refusals
from tritonseg_engines.preflight.scratch import scratch_folder

__all__ = [
    "GPUS",
    "LICENCE",
    "USUAL_GPUS",
    "CompilerCrashedError",
    "CompilerMemoryError",
    "CompilerTimeoutError",
    "GraphRefusedError",
    "Limits",
    "Preflight",
    "PreflightError",
    "PreflightUnavailableError",
    "TargetGpu",
    "asked_sizes",
    "find_compiler",
    "is_installed",
    "own_refusals",
    "preflight",
    "read_gpus",
    "scratch_folder",
    "shares_text",
]
