"""One case from export to figures: converted, built, judged on the GPU, timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gpu_check.roofline import work_of
from gpu_check.rows import Case, Measured
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.build.order import BuildOrder
from tritonseg_engines.build.pictures_choice import PictureChoice
from tritonseg_engines.build.precision import convert_and_judge
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.graph.onnx_file import save_onnx
from tritonseg_engines.progress import Progress, unheard
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.target import BuildTarget, Runtime
from tritonseg_engines.tensorrt import BatchRange, Machine, PlanOptions
from tritonseg_engines.tensorrt.device import Device
from tritonseg_engines.tensorrt.loaded_plan import load_plan
from tritonseg_engines.tensorrt.plan import build_plan
from tritonseg_engines.tensorrt.timing import BUDGET_S, time_plan

BATCHES: Final = (1, 2, 4, 8)
TIMINGS_FOLDER: Final = "tensorrt_timings"


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What is measured.

    Attributes:
        case: Model and precision.
        spec: Of the model.
        onnx_path: Its export, of a fixed size.
        weights: "random", or the checkpoint's file name.
        macs: Multiply-accumulates for one picture.
        options: Pictures, and that the gate shall not stop the build.
    """

    case: Case
    spec: ModelSpec
    onnx_path: Path
    weights: str
    macs: int
    options: BuildOptions


def machine_key(machine: Machine) -> str:
    """Return what figures hold for."""
    return f"{machine.first_gpu().name}, TensorRT {machine.tensorrt_version}"


def measure(
    subject: Subject,
    folder: Path,
    machine: Machine,
    *,
    device: Device | None = None,
    batches: Sequence[int] = BATCHES,
    budget_s: float = BUDGET_S,
    progress: Progress = unheard,
) -> Measured:
    """Build a plan, compare its masks with ONNX Runtime's in fp32, and time it.

    Args:
        subject: What.
        folder: Where the converted ONNX, the plan and TensorRT's kernel timings are kept.
        machine: As `inspect_machine` found it.
        device: Holds the tensors; CuPy's unless given.
        batches: Pictures at once; kernels are chosen for one, as in a served plan.
        budget_s: Seconds for each series of runs.
        progress: Told of what takes time.

    Raises:
        EngineBuildError: Anything on the way failed.
    """
    prepared = prepare_network(subject.spec, subject.onnx_path)
    order = BuildOrder(
        prepared=prepared,
        target=BuildTarget.of(subject.case.precision, Runtime.TENSORRT),
        options=subject.options,
        pictures=PictureChoice(subject.options, subject.onnx_path, prepared.sizes),
        progress=progress,
    )
    conversion, judged = convert_and_judge(order)
    onnx_path = folder / f"{subject.case.model}.{subject.case.precision}.onnx"
    save_onnx(conversion.converted.model, onnx_path)
    gpu = machine.first_gpu()
    options = PlanOptions(
        batch=BatchRange(maximum=max(batches)), timing_cache=folder / TIMINGS_FOLDER
    )
    plan = build_plan(
        onnx_path, onnx_path.with_suffix(".plan"), options, progress=progress, gpu=gpu
    )
    with load_plan(plan.plan, gpu=gpu, device=device) as loaded:
        verdict = judged.judge_engine(loaded.infer, machine_key(machine), progress).report
        timings = tuple(time_plan(loaded, batch, budget_s=budget_s) for batch in batches)
    return Measured(
        case=subject.case,
        weights=subject.weights,
        verdict=verdict.verdict,
        equal_pixels=verdict.comparison.equal_pixels,
        onnx_equal_pixels=judged.report.comparison.equal_pixels,
        pictures=verdict.comparison.origin,
        build_s=plan.duration_s,
        plan_bytes=plan.size_bytes,
        timings=timings,
        work=work_of(prepared, subject.case.precision, subject.macs),
        machine=machine_key(machine),
    )
