"""Run NVIDIA's compiler in a process of its own, and bring its answer back.

A time and a memory limit hold for it. What it does besides answering (crash, hang, run out of
memory) becomes an error of ours; what it refuses is an answer.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from tritonseg_engines.preflight.errors import (
    CompilerCrashedError,
    CompilerMemoryError,
    CompilerTimeoutError,
    PreflightError,
    PreflightUnavailableError,
    cannot_write,
)
from tritonseg_engines.preflight.gpus import TargetGpu
from tritonseg_engines.preflight.libraries import BINDINGS, Compiler, find_compiler
from tritonseg_engines.preflight.limits import Limits
from tritonseg_engines.preflight.scratch import scratch_folder
from tritonseg_engines.tensorrt.errors import PlanOptionsError
from tritonseg_engines.tensorrt.options import PlanOptions

PROGRAM: Final = "tritonseg_engines.tensorrt._ahead_of_time"
LAST_LINES: Final = 20
OUT_OF_MEMORY: Final = (
    "bad_alloc",
    "out of memory",
    "OutOfMemory",
    "MemoryError",
    "Cannot allocate",
    "failed to map segment",
)
"""Words of C++, TensorRT, Python and the loader for it."""
OUT_OF_SPACE: Final = ("No space left on device", "Disk quota exceeded")
"""Words of the system."""
OUTPUT_BYTES: Final = 65_536
ACTIVATIONS: Final = re.compile(r"Total Activation Memory: (\d+) bytes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the compiler made of a graph for one GPU.

    Attributes:
        gpu: The kind of GPU.
        compiler: Version of TensorRT-RTX.
        refusal: Why it is refused, in NVIDIA's words with our node; None where it compiles.
        seconds: That parsing and compiling took.
        engine_bytes: Size of the engine; 0 where there is none.
        activation_bytes: Memory that the engine's tensors take at the largest batch and size, by
            the compiler's own plan; 0 where it does not say.
        warnings: Of parser and builder, each once.
        multiplying: Name, origin and precision of the layers that multiply, as parsed; names are
            those of the graph that was handed over.
        engine: The finished engine's layers, as `engine_layers` reads them.
        log: What the compiler wrote.
    """

    gpu: TargetGpu
    compiler: str
    refusal: str | None
    seconds: float
    engine_bytes: int
    activation_bytes: int
    warnings: tuple[str, ...] = ()
    multiplying: tuple[Mapping[str, str], ...] = ()
    engine: tuple[Mapping[str, Any], ...] = ()
    log: tuple[str, ...] = field(default=(), repr=False)


def compile_for(onnx_path: Path, options: PlanOptions, gpu: TargetGpu, limits: Limits) -> Answer:
    """Compile a graph for one kind of GPU.

    Args:
        onnx_path: The graph in its final precision.
        options: Batch and image sizes, as the plan will have them.
        gpu: Whose kernels.
        limits: Of time and memory.

    Raises:
        PreflightUnavailableError: The compiler is not installed or does not start.
        CompilerTimeoutError: It took too long, and was stopped.
        CompilerMemoryError: It ran out of memory.
        CompilerCrashedError: It died of something else.
        PlanOptionsError: The sizes are not ones that the graph takes.
    """
    compiler = find_compiler()
    with scratch_folder() as folder:
        request, answer = folder / "request.json", folder / "answer.json"
        request.write_text(json.dumps(_request(onnx_path, options, gpu, limits, compiler)))
        status, written = _run(compiler, (str(request), str(answer)), limits, gpu)
        document = json.loads(answer.read_text()) if answer.is_file() and status == 0 else None
    if document is None:
        raise _failure(status, written, gpu, limits)
    return _answer(document, str(onnx_path.resolve()), gpu, limits)


def _request(
    onnx_path: Path, options: PlanOptions, gpu: TargetGpu, limits: Limits, compiler: Compiler
) -> dict[str, Any]:
    return {
        "onnx": str(onnx_path.resolve()),
        "capability": gpu.capability,
        "batch": asdict(options.batch),
        "image_size": options.image_size and asdict(options.image_size),
        "memory_bytes": limits.memory_bytes,
        "seconds": limits.seconds,
        "parent": os.getpid(),
        "bindings": str(compiler.bindings.parent),
        "module": BINDINGS,
    }


def _run(
    compiler: Compiler, arguments: tuple[str, str], limits: Limits, gpu: TargetGpu
) -> tuple[int, str]:
    """Return exit status and words of the compiler's process, which is killed with all it started.

    Should this process die first, the other one ends itself.
    """
    with compiler.library_path() as libraries, _in_memory() as written:
        paths = filter(None, (str(libraries), os.environ.get("LD_LIBRARY_PATH")))
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=limits.seconds)
            written.seek(0)
            return status, written.read().decode(errors="replace")[-OUTPUT_BYTES:]
        except subprocess.TimeoutExpired:
            raise _too_long(gpu, limits) from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _in_memory() -> BinaryIO:
    """Return a file that takes words where the disk takes none."""
    return os.fdopen(os.memfd_create("compiler"), "w+b")


def _failure(status: int, written: str, gpu: TargetGpu, limits: Limits) -> PreflightError:
    lines = tuple(written.splitlines()[-LAST_LINES:])
    if any(words in written for words in OUT_OF_MEMORY):
        return CompilerMemoryError(_no_memory(gpu, limits), log=lines)
    if any(words in written for words in OUT_OF_SPACE):
        return cannot_write("no space left")
    if status == -signal.SIGALRM:
        return _too_long(gpu, limits)
    last = lines[-1] if lines else "it wrote nothing"
    if status > 0 and "ImportError" in written:
        return PreflightUnavailableError(f"NVIDIA's compiler does not start: {last}", log=lines)
    if status == -signal.SIGKILL:
        return CompilerCrashedError(
            f"NVIDIA's compiler was killed while it compiled for {gpu.name}, by the system if "
            "memory was short",
            log=lines,
        )
    how, hint = f"with exit status {status}", ""
    if status < 0:  # of an allocation that fails it does not always say so
        how = f"by {signal.Signals(-status).name}"
        hint = f". It may take {_gib(limits)}; --memory-limit allows more, should that be why"
    return CompilerCrashedError(
        f"NVIDIA's compiler ended {how} while it compiled for {gpu.name}: {last}{hint}", log=lines
    )


def _too_long(gpu: TargetGpu, limits: Limits) -> CompilerTimeoutError:
    return CompilerTimeoutError(
        f"NVIDIA's compiler was still at it for {gpu.name} after {limits.seconds:g} s and was "
        "stopped; --time-limit allows more"
    )


def _answer(document: Mapping[str, Any], onnx_path: str, gpu: TargetGpu, limits: Limits) -> Answer:
    if document.get("unknown_gpu"):
        raise PreflightUnavailableError(
            f"TensorRT-RTX {document['compiler']} does not know {gpu.name} ({gpu.models})"
        )
    refusal = document.get("refusal")
    if document.get("contradicts_options"):
        raise PlanOptionsError(refusal)
    if refusal is not None and any(words in refusal for words in OUT_OF_MEMORY):
        raise CompilerMemoryError(_no_memory(gpu, limits), log=tuple(document["log"]))
    return Answer(
        gpu=gpu,
        compiler=document["compiler"],
        refusal=refusal and refusal.removeprefix(f"{onnx_path}: "),
        seconds=document["seconds"],
        engine_bytes=document.get("engine_bytes", 0),
        activation_bytes=_activation_bytes(document["log"]),
        warnings=tuple(document["warnings"]),
        multiplying=tuple(document["multiplying"]),
        engine=tuple(document["engine"]),
        log=tuple(document["log"]),
    )


def _activation_bytes(log: Iterable[str]) -> int:
    found = [match for line in log if (match := ACTIVATIONS.search(line))]
    return int(found[-1][1]) if found else 0


def _no_memory(gpu: TargetGpu, limits: Limits) -> str:
    return (
        f"NVIDIA's compiler ran out of memory for {gpu.name}, of which it may take "
        f"{_gib(limits)}; --memory-limit allows more, a smaller largest batch or picture needs less"
    )


def _gib(limits: Limits) -> str:
    return f"{limits.memory_bytes / 2**30:.1f} GiB"
