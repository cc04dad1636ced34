"""The file that Triton runs, made from the converted ONNX, and judged if it is another."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.gate.verdict import Judged
from tritonseg_engines.graph.onnx_file import save_onnx
from tritonseg_engines.progress import Progress, unheard
from tritonseg_engines.repository import Deployment
from tritonseg_engines.repository.files import ONNX_FILE
from tritonseg_engines.tensorrt import (
    ENGINES_KEY,
    PLAN_FILE,
    BatchRange,
    Gpu,
    ImageSizeRange,
    PlanOptions,
    plan_manifest,
)
from tritonseg_steps.network_sizes import NetworkSizes

if TYPE_CHECKING:
    from tritonseg_engines.tensorrt.device import Device
    from tritonseg_engines.tensorrt.plan import PlanReport

SMALLEST_SIDE = 32
LARGEST_HW = (1024, 2048)
"""What a plan takes where the export leaves height and width open."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenEngine:
    """An engine that was written.

    Attributes:
        file: What Triton runs.
        facts: What the manifest says of it.
        plan: About a TensorRT plan, which is still to be judged; None for OpenVINO.
    """

    file: Path
    facts: dict[str, Any] = field(default_factory=dict)
    plan: PlanReport | None = None


def engine_file_name(gpu: Gpu | None) -> str:
    """Return the engine's name in the version folder: an ONNX for the CPU, a plan for a GPU."""
    return ONNX_FILE if gpu is None else PLAN_FILE


def write_engine(
    model: onnx.ModelProto,
    deployment: Deployment,
    folder: Path,
    *,
    gpu: Gpu | None,
    wanted: BuildOptions | None = None,
    progress: Progress,
) -> WrittenEngine:
    """Write the engine into a folder.

    Args:
        model: The network in its final precision.
        deployment: Says how the engine will be batched and which sizes it takes.
        folder: Empty.
        gpu: What a TensorRT plan is built on; None for OpenVINO, which runs the ONNX.
        wanted: What of a plan the user decides: other GPUs, the cache of timings.
        progress: Told how far TensorRT is.

    Raises:
        OnnxModelError: The network is not valid, or TensorRT's parser refuses a node of it.
        TensorRTError: TensorRT built nothing.
    """
    onnx_path = folder / ONNX_FILE
    save_onnx(model, onnx_path)
    if gpu is None:
        return WrittenEngine(file=onnx_path)
    from tritonseg_engines.tensorrt.plan import build_plan

    options = plan_options(deployment, wanted)
    plan = folder / PLAN_FILE
    report = build_plan(onnx_path, plan, options, progress=progress, gpu=gpu)
    facts = {ENGINES_KEY: {plan.name: plan_manifest(report)}}
    return WrittenEngine(file=plan, facts=facts, plan=report)


def plan_options(deployment: Deployment, wanted: BuildOptions | None = None) -> PlanOptions:
    """Return the batches and sizes that a deployment's plan is built for, and how it is built."""
    wanted = wanted or BuildOptions()
    return PlanOptions(
        batch=BatchRange(maximum=deployment.serving.max_batch_size),
        image_size=_open_sizes(deployment.engine.sizes),
        timing_cache=wanted.timing_cache,
        reproducible=wanted.reproducible,
        hardware_compatibility=wanted.hardware_compatibility,
    )


def plan_sizes(sizes: NetworkSizes) -> NetworkSizes:
    """Return what a plan takes of the sizes that its network would."""
    if sizes.fixed_hw is not None:
        return sizes
    smallest, _ = sizes.nearest((SMALLEST_SIDE, SMALLEST_SIDE))
    height, width = (
        min(sides) for sides in zip(LARGEST_HW, sizes.at_most_hw or LARGEST_HW, strict=True)
    )
    return replace(sizes, at_least=smallest, at_most_hw=(height, width))


def _open_sizes(sizes: NetworkSizes) -> ImageSizeRange | None:
    if sizes.at_most_hw is None:
        return None
    smallest_hw = sizes.nearest((1, 1))
    largest_hw = sizes.nearest(sizes.at_most_hw)
    return ImageSizeRange(minimum_hw=smallest_hw, optimum_hw=largest_hw, maximum_hw=largest_hw)


def judge_plan(
    plan: PlanReport,
    judged: Judged,
    *,
    device: Device | None = None,
    progress: Progress = unheard,
) -> Judged:
    """Run a plan that was just built on this machine's GPU, and judge it as its ONNX was.

    The ONNX file was judged before TensorRT saw it. What TensorRT makes of it, fused kernels in
    the types of the file, is held against the same pictures, reference and bounds.

    Args:
        plan: Of `build_plan`.
        judged: The verdict on the ONNX that it was built from.
        device: Holds the tensors; CuPy's unless given.
        progress: Told after every picture.

    Returns:
        The plan's verdict, which takes the place of the ONNX's; the caller keeps nothing of a
        plan that is "refused".

    Raises:
        TensorRTUnavailableError: There is no CuPy.
        EngineIncompatibleError: TensorRT does not load what it built.
        TensorRTError: It could not be run.
        OnnxModelError: A score is not a number.
    """
    from tritonseg_engines.tensorrt.loaded_plan import load_plan

    ran_in = f"TensorRT {plan.tensorrt_version} on {plan.gpu.name}"
    with load_plan(plan.plan, gpu=plan.gpu, device=device) as loaded:
        return judged.judge_engine(loaded.infer, ran_in, progress)
