"""From an ONNX file and a specification to a model in a Triton repository, or a refusal."""

from __future__ import annotations

import importlib.metadata
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from tritonseg_engines.build_options import BuildOptions
from tritonseg_engines.build_target import FASTEST_LAYOUT, BuildTarget
from tritonseg_engines.built_graph import BuiltGraph
from tritonseg_engines.engine_file import engine_file_name, write_engine
from tritonseg_engines.fuse_check import fixed_sizes, fuse_and_check
from tritonseg_engines.gate.choice import PictureChoice
from tritonseg_engines.gate.plan_gate import verify_plan
from tritonseg_engines.gate.refusal import refusal
from tritonseg_engines.gate.report import HTML_NAME, JSON_NAME, GateReport, write_report
from tritonseg_engines.graph.onnx_file import save_onnx
from tritonseg_engines.graph.tail import Tail
from tritonseg_engines.precision_build import PrecisionBuild, Progress
from tritonseg_engines.prepare import Prepared, prepare_network
from tritonseg_engines.repository import Provenance, write_model
from tritonseg_engines.repository.deployment import ENSEMBLE
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.tensorrt import Gpu, TensorRTUnavailableError, inspect_machine

NO_TENSORRT = "stopped after the ONNX and its gate: a plan is built on the GPU that runs it"
FUSING = "comparing the fused graph with the ensemble"
ONNX_ONLY = "stopped after the ONNX and its gate, as asked"


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildReport:
    """What was built.

    Attributes:
        model: Folder of the model's own name, or the ONNX file where the build stopped at that.
        tail: What was found behind the network, and cut unless asked otherwise.
        equal_pixels: Share of pixels at which the cut graph and the export agree, or None where
            nothing was cut.
        layout: One of `LAYOUTS`.
        equal_pixels_after_fuse: Share of pixels at which the fused model and the ensemble agree,
            or None where nothing was fused.
        provenance: As published in the ensemble.
        gate: The built network against the fp32 reference.
        report: The readable form of that.
        note: Why there is no engine, or None.
    """

    model: Path
    tail: Tail
    equal_pixels: float | None
    provenance: Provenance
    gate: GateReport
    report: Path
    note: str | None = None
    layout: str = ENSEMBLE
    equal_pixels_after_fuse: float | None = None


def build_model(
    spec: ModelSpec,
    onnx_path: Path,
    repository: Path,
    *,
    precision: str = "fp32",
    runtime: str = "openvino",
    layout: str | None = None,
    keep_tail: bool = False,
    options: BuildOptions | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Build a model and write it into a repository, whole or not at all.

    Where the build stops at the ONNX (`onnx_only`, or TensorRT on a machine without), it is
    written beside the repository as `<name>.<precision>.onnx`, or `<name>.fused.<precision>.onnx`,
    with its report.

    Args:
        spec: Describes the model in the file.
        onnx_path: The export; not changed.
        repository: Folder that Triton is started on; made if it is not there.
        precision: One of `PRECISIONS`.
        runtime: One of `RUNTIMES`.
        layout: "ensemble"; "single" for one model that runs the steps in its own process, on the
            CPU; or "fused" for one model with the steps in its graph, for pictures of one size.
            None takes what is fastest: "single" for OpenVINO, "ensemble" for TensorRT.
        keep_tail: Leave Resize, Softmax and ArgMax behind the network in the engine.
        options: How to convert and how to judge.
        progress: Called with what is being done, and how much of how much is.

    Raises:
        OnnxModelError: The file is not what the specification says, or cutting its tail or
            fusing the steps would change masks, or no engine can be built from it.
        CalibrationError: Pictures are missing or cannot be used.
        GateError: The built network's masks are too far from the reference's.
        RepositoryError: The repository cannot be written.
        SpecificationError: There is no such precision, runtime or layout, the model does not fit
            the layout, or a pattern of nodes to keep matches none.
    """
    options, progress = options or BuildOptions(), progress or (lambda *_: None)
    target = BuildTarget(
        precision=precision,
        runtime=runtime,
        layout=layout or FASTEST_LAYOUT.get(runtime, ENSEMBLE),
        cpu=options.cpu,
        gpu_steps=options.gpu_steps,
    )
    target.require_this_cpu()
    prepared = prepare_network(spec, onnx_path, keep_tail=keep_tail)
    if target.is_fused:
        fixed_sizes(prepared)  # refuses now what would fail after minutes of converting
    provenance = Provenance(
        onnx_sha256=prepared.onnx_sha256,
        precision=precision,
        runtime=runtime,
        tritonseg_version=importlib.metadata.version("tritonseg"),
    )
    stem = f"{spec.name}.{target.layout}" if target.is_fused else spec.name
    beside = repository.parent / f"{stem}.{precision}"
    choice = PictureChoice(options, onnx_path, prepared.input_hw)
    built = _convert(prepared, target, provenance, options, choice, progress)
    if built.gate.verdict == "refused":
        raise refusal(built.gate, beside)
    if target.is_fused:
        built = _fuse(built, choice, progress)
    gpu, note = _gpu_for(runtime, options)
    if note is not None:
        model, report = _write_onnx(beside, built)
    else:
        built, model, report = _write_repository(
            repository, built, beside=beside, gpu=gpu, progress=progress
        )
    return BuildReport(
        model=model,
        tail=prepared.tail,
        equal_pixels=prepared.equal_pixels,
        layout=target.layout,
        equal_pixels_after_fuse=built.equal_pixels_after_fuse,
        provenance=provenance,
        gate=built.gate,
        report=report,
        note=note,
    )


def _convert(
    prepared: Prepared,
    target: BuildTarget,
    provenance: Provenance,
    options: BuildOptions,
    choice: PictureChoice,
    progress: Progress,
) -> BuiltGraph:
    build = PrecisionBuild(prepared, target, options, choice, progress)
    converted, gate = build.run()
    return BuiltGraph(
        prepared=prepared,
        graph=converted.model,
        gate=gate,
        plan_gate=build.plan_gate,
        target=target,
        provenance=provenance,
        int8_cpu=build.int8_cpu,
    )


def _fuse(built: BuiltGraph, choice: PictureChoice, progress: Progress) -> BuiltGraph:
    precision, runtime = built.target.precision, built.target.runtime
    progress(FUSING, 0, 1)
    fused, equal_pixels = fuse_and_check(
        built.prepared,
        built.graph,
        choice.for_gate(precision),
        precision=precision,
        runtime=runtime,
    )
    progress(FUSING, 1, 1)
    facts = {**built.gate.facts, "fused graph, pixels as in the ensemble": f"{equal_pixels:.4%}"}
    gate = replace(built.gate, facts=facts)
    image_hw = fixed_sizes(built.prepared).image_hw
    return replace(
        built,
        graph=fused,
        gate=gate,
        plan_gate=built.plan_gate.with_folded_steps(image_hw, onnx_report=gate),
        equal_pixels_after_fuse=equal_pixels,
    )


def _gpu_for(runtime: str, options: BuildOptions) -> tuple[Gpu | None, str | None]:
    """Return what a plan is built on, and why the build stops at the ONNX, if it does."""
    if options.onnx_only:
        return None, ONNX_ONLY
    if runtime != "tensorrt":
        return None, None
    try:
        return inspect_machine().first_gpu(), None
    except TensorRTUnavailableError as error:
        return None, f"{NO_TENSORRT}: {error}"


def _write_onnx(beside: Path, built: BuiltGraph) -> tuple[Path, Path]:
    onnx_path, html_path = _suffixed(beside, ".onnx"), _suffixed(beside, ".report.html")
    save_onnx(built.graph, onnx_path)
    write_report(built.gate, _suffixed(beside, ".report.json"), html_path)
    return onnx_path, html_path


def _write_repository(
    repository: Path, built: BuiltGraph, *, beside: Path, gpu: Gpu | None, progress: Progress
) -> tuple[BuiltGraph, Path, Path]:
    """Write the model, and return what was built with the verdict on what will be served."""
    deployment = built.deployment(engine_file_name(gpu))
    with tempfile.TemporaryDirectory() as workspace:
        written = write_engine(built.graph, deployment, Path(workspace), gpu=gpu, progress=progress)
        if written.plan is not None:
            gate = verify_plan(written.plan, built.plan_gate, progress=progress)
            if gate.verdict == "refused":
                raise refusal(gate, beside)
            built = replace(built, gate=gate)
        manifest = {**built.manifest(), **written.facts}
        model = write_model(repository, deployment, written.file, manifest)
    write_report(built.gate, model / JSON_NAME, model / HTML_NAME)
    return built, model, model / HTML_NAME


def _suffixed(beside: Path, suffix: str) -> Path:
    return beside.with_name(beside.name + suffix)
