"""The file that Triton runs, made from the converted ONNX: the one place where runtimes part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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

ONNX_FILE = "model.onnx"
OPEN_SIZES = ImageSizeRange(minimum_hw=(32, 32), optimum_hw=(1024, 2048), maximum_hw=(1024, 2048))
"""What a plan takes where the export leaves height and width open."""

Progress = Callable[[str, int, int], None]


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
) -> tuple[Path, dict[str, Any]]:
    """Write the engine into a folder.

    Args:
        model: The network in its final precision.
        deployment: Says how the engine will be batched and which sizes it takes.
        folder: Empty.
        gpu: What a TensorRT plan is built on; None for OpenVINO, which runs the ONNX.
        progress: Told how far TensorRT is.

    Returns:
        The file, and what the manifest says of it.

    Raises:
        OnnxModelError: The network is not valid, or TensorRT's parser refuses a node of it.
        TensorRTError: TensorRT built nothing.
    """
    onnx_path = folder / ONNX_FILE
    save_onnx(model, onnx_path)
    if gpu is None:
        return onnx_path, {}
    from tritonseg_engines.tensorrt.plan import build_plan

    options = PlanOptions(
        batch=BatchRange(maximum=deployment.serving.max_batch_size),
        image_size=OPEN_SIZES if None in deployment.engine.input_hw else None,
    )
    plan = folder / plan_file_name()
    report = build_plan(onnx_path, plan, options, progress=progress, gpu=gpu)
    return plan, {ENGINES_KEY: {plan.name: plan_manifest(report)}}
