"""The file that Triton runs, made from the converted ONNX: the one place where runtimes part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from tritonseg_engines.graph.onnx_file import save_onnx
from tritonseg_engines.repository import Deployment
from tritonseg_engines.tensorrt import (
    ENGINES_KEY,
    BatchRange,
    Gpu,
    ImageSizeRange,
    PlanOptions,
    plan_file_name,
    plan_manifest,
)

if TYPE_CHECKING:
    from tritonseg_engines.tensorrt.plan import PlanReport

ONNX_FILE = "model.onnx"
OPEN_SIZES = ImageSizeRange(minimum_hw=(32, 32), optimum_hw=(1024, 2048), maximum_hw=(1024, 2048))
"""What a plan takes where the export leaves height and width open."""

Progress = Callable[[str, int, int], None]


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
    return ONNX_FILE if gpu is None else plan_file_name()


def write_engine(
    model: onnx.ModelProto,
    deployment: Deployment,
    folder: Path,
    *,
    gpu: Gpu | None,
    progress: Progress,
) -> WrittenEngine:
    """Write the engine into a folder.

    Args:
        model: The network in its final precision.
        deployment: Says how the engine will be batched and which sizes it takes.
        folder: Empty.
        gpu: What a TensorRT plan is built on; None for OpenVINO, which runs the ONNX.
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

    options = PlanOptions(
        batch=BatchRange(maximum=deployment.serving.max_batch_size),
        image_size=OPEN_SIZES if None in deployment.engine.input_hw else None,
    )
    plan = folder / plan_file_name()
    report = build_plan(onnx_path, plan, options, progress=progress, gpu=gpu)
    facts = {ENGINES_KEY: {plan.name: plan_manifest(report)}}
    return WrittenEngine(file=plan, facts=facts, plan=report)
