"""From a typed ONNX file to a TensorRT plan for this machine's GPU."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.progress import Progress
from tritonseg_engines.tensorrt.bindings import load_tensorrt
from tritonseg_engines.tensorrt.builder_config import timing_cache_path
from tritonseg_engines.tensorrt.machine import Gpu, inspect_machine
from tritonseg_engines.tensorrt.network_build import NetworkBuild
from tritonseg_engines.tensorrt.options import PlanOptions, ProfileShapes


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanReport:
    """A plan that was built.

    Attributes:
        plan: The file.
        plan_sha256: Its digest in hexadecimal digits.
        size_bytes: Its size.
        onnx_sha256: Digest of the ONNX file that it was built from.
        precision: "fp32", "fp16" or "int8", as the ONNX has it.
        tensorrt_version: As TensorRT states it, e.g. "10.16.1.11".
        gpu: What it was built on.
        profile: Shapes of every input by its name.
        options: As asked for.
        pinned_layers: Layers that had to be pinned to float32; TensorRT 8.6 only.
        tactics_sha256: Digest of the kernels that the timing cache names; None without a cache, and
            before TensorRT 10.
        duration_s: Seconds that building took.
        warnings: What TensorRT warned of, each once.
    """

    plan: Path
    plan_sha256: str
    size_bytes: int
    onnx_sha256: str
    precision: str
    tensorrt_version: str
    gpu: Gpu
    profile: dict[str, ProfileShapes]
    options: PlanOptions
    pinned_layers: tuple[str, ...]
    tactics_sha256: str | None
    duration_s: float
    warnings: tuple[str, ...]


def build_plan(
    onnx_path: Path,
    plan_path: Path,
    options: PlanOptions | None = None,
    *,
    progress: Progress | None = None,
    gpu: Gpu | None = None,
) -> PlanReport:
    """Build a plan and write it, whole or not at all.

    Args:
        onnx_path: The network in the precision that it is to have; not changed.
        plan_path: Where the plan goes; replaced if it is there.
        options: How; `PlanOptions()` unless given.
        progress: Called from TensorRT's threads as phases and their steps end, where TensorRT
            tells (10 and newer). What it raises ends the build and is raised here.
        gpu: The first GPU of this machine, if the caller has inspected it; else it is looked for.

    Raises:
        OnnxModelError: The file is not ONNX, or TensorRT's parser refuses a node of it.
        PlanOptionsError: The options contradict the file or this TensorRT.
        TensorRTUnavailableError: There is no GPU, or no TensorRT from 8.6 on.
        TensorRTError: TensorRT built nothing; the message has the layer, if it named one.
    """
    options = options or PlanOptions()
    started = time.monotonic()
    gpu = gpu or inspect_machine().first_gpu()
    trt = load_tensorrt()
    build = NetworkBuild(trt, onnx_path, options, place=f"{gpu.name} (CUDA {gpu.cuda_version})")
    cache = options.timing_cache and timing_cache_path(options.timing_cache, gpu, trt.__version__)
    plan = build.run(progress=progress, timing_cache=cache)
    write_atomically(plan_path, plan)
    return PlanReport(
        plan=plan_path,
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        size_bytes=len(plan),
        onnx_sha256=sha256_of(onnx_path),
        precision=build.types.precision,
        tensorrt_version=trt.__version__,
        gpu=gpu,
        profile=build.profile,
        options=options,
        pinned_layers=build.pinned_layers,
        tactics_sha256=build.tactics_sha256,
        duration_s=time.monotonic() - started,
        warnings=build.log.warnings(),
    )
