"""From an ONNX file and a specification to a model in a Triton repository, or a refusal."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from tritonseg_engines.build.boundary_proof import Proof
from tritonseg_engines.build.built_graph import BuiltGraph
from tritonseg_engines.build.compiler_check import CompilerCheck, ask_compiler, refuse_unusable
from tritonseg_engines.build.fuse_check import fixed_sizes, fuse_and_check
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.build.order import BuildOrder
from tritonseg_engines.build.pictures_choice import PictureChoice, given_pictures
from tritonseg_engines.build.precision import Conversion, convert_and_judge
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.build.size_remark import size_remark
from tritonseg_engines.build.written import suffixed, write_onnx, write_repository
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.gate.refusal import refusal
from tritonseg_engines.gate.report import GateReport
from tritonseg_engines.gate.verdict import Judged
from tritonseg_engines.graph.reach import reach_of
from tritonseg_engines.graph.tail import Tail
from tritonseg_engines.progress import Progress, unheard
from tritonseg_engines.repository import (
    Provenance,
    is_left_out,
    kept_versions,
    layout_folders,
    refuse_replacing,
    refuse_taken,
)
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.target import BuildTarget, Precision, Runtime, ServingLayout
from tritonseg_engines.tensorrt import Gpu, TensorRTUnavailableError, inspect_machine
from tritonseg_steps.compile_ahead import compile_ahead

NO_TENSORRT = "stopped after the ONNX and its gate: a plan is built on the GPU that runs it"
FUSING = "comparing the fused graph with the ensemble"
PROVEN_ON = 1
"""Pictures of the user's own, besides noise of several sizes; the gate takes them all."""
ONNX_ONLY = "stopped after the ONNX and its gate, as asked"


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildReport:
    """What was built.

    Attributes:
        model: Folder of the model's own name, or the ONNX file where the build stopped at that.
        tail: What was found behind the network, and cut unless asked otherwise.
        proof: That the network between the server's steps gives the export's own masks.
        threshold: What parts the two classes of a binary output; None for other kinds.
        kept_tail: Why a tail that was recognised stays in the network; None if none does.
        pictures: Which pictures it refuses; None if it takes any.
        layout: How the steps stand to the engine.
        equal_pixels_after_fuse: Share of pixels at which the fused model and the ensemble agree,
            or None where nothing was fused.
        provenance: As published in the ensemble.
        gate: The built network against the fp32 reference.
        report: The readable form of that.
        note: Why there is no engine, or None.
        quantized_export: What the export itself computes in int8, in words; None for a float one.
        compiler: What NVIDIA's compiler says of the ONNX, where the build stopped at that.
        is_left_out: Whether an operator's version_policy keeps it from being served.
    """

    model: Path
    tail: Tail
    proof: Proof
    threshold: float | None
    kept_tail: str | None
    pictures: str | None
    provenance: Provenance
    gate: GateReport
    report: Path
    note: str | None = None
    layout: ServingLayout = ServingLayout.ENSEMBLE
    equal_pixels_after_fuse: float | None = None
    quantized_export: str | None = None
    compiler: CompilerCheck = CompilerCheck()  # noqa: RUF009 - frozen and without state
    is_left_out: bool = False

    @property
    def lacks_engine(self) -> bool:
        """Whether an engine was asked for, and this machine cannot build it."""
        return self.note not in (None, ONNX_ONLY)


def build_model(
    spec: ModelSpec,
    onnx_path: Path,
    repository: Path,
    *,
    precision: str = Precision.FP32,
    runtime: str = Runtime.OPENVINO,
    layout: str | None = None,
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
        precision: A `Precision`, or its value.
        runtime: A `Runtime`, or its value.
        layout: A `ServingLayout`, or its value; None for the runtime's fastest.
        options: How to convert and how to judge.
        progress: Called with what is being done, and how much of how much is.

    Raises:
        OnnxModelError: The file is not what the specification says, or cutting its tail or
            fusing the steps would change masks, or no engine can be built from it, or NVIDIA's
            compiler refuses it.
        PreflightError: NVIDIA's compiler gave no answer.
        CalibrationError: Pictures are missing or cannot be used.
        GateError: The built network's masks are too far from the reference's.
        RepositoryError: The repository cannot be written, or what would be replaced is not the
            model's own.
        SpecificationError: There is no such precision, runtime or layout, the model does not fit
            the layout, or a pattern of nodes to keep matches none.
    """
    options = options or BuildOptions()
    target = BuildTarget.of(
        precision, runtime, layout, cpu=options.cpu, gpu_argmax=options.gpu_argmax
    )
    target.require_this_cpu()
    refuse_unusable(target, options)
    beside = repository.parent / _stem(spec.name, target)
    _refuse_overwriting(repository, spec.name, target, options, beside=beside, export=onnx_path)
    given = given_pictures(options, onnx_path) or ()
    prepared = prepare_network(spec, onnx_path, given[:PROVEN_ON])
    if target.is_fused:
        fixed_sizes(prepared)  # refuses now what would fail after minutes of converting
    order = BuildOrder(
        prepared=prepared,
        target=target,
        options=options,
        pictures=PictureChoice(options, onnx_path, prepared.sizes),
        progress=progress or unheard,
    )
    conversion, judged = convert_and_judge(order)
    if judged.report.verdict == "refused":
        raise refusal(judged.report, beside)
    built = _built_graph(order, conversion, judged)
    gpu, note = _gpu_for(target, options)
    check = CompilerCheck()
    if note is not None and target.on_gpu:
        built, check = ask_compiler(built, order)
    if note is None:
        if not target.is_fused:
            compile_ahead(spec.preprocessing)
        built, model, report = write_repository(repository, built, order, beside=beside, gpu=gpu)
    else:
        model, report = write_onnx(beside, built)
    return BuildReport(
        model=model,
        tail=prepared.tail,
        proof=prepared.proof,
        threshold=prepared.threshold,
        kept_tail=prepared.kept,
        pictures=None if target.is_fused else size_remark(spec, prepared.sizes),
        layout=target.layout,
        equal_pixels_after_fuse=built.equal_pixels_after_fuse,
        provenance=built.provenance,
        gate=built.judged.report,
        report=report,
        note=note,
        quantized_export=prepared.quantized_export,
        compiler=check,
        is_left_out=note is None and is_left_out(model, options.version),
    )


def _stem(name: str, target: BuildTarget) -> str:
    """Return what stands before the suffixes of files beside the repository."""
    layout = f".{target.layout}" if target.is_fused else ""
    return f"{name}{layout}.{target.precision}"


def _refuse_overwriting(
    repository: Path,
    name: str,
    target: BuildTarget,
    options: BuildOptions,
    *,
    beside: Path,
    export: Path,
) -> None:
    """Refuse now what would be refused after minutes of building."""
    if not options.onnx_only:
        needed = layout_folders(name, target.layout)
        refuse_replacing(export, repository, name, needed)
        refuse_taken(repository, name, needed)
        kept_versions(repository, name, target.layout, options.version)
    onnx_path = suffixed(beside, ".onnx")
    stops_at_onnx = options.onnx_only or target.on_gpu
    if stops_at_onnx and onnx_path.exists() and export.exists() and onnx_path.samefile(export):
        raise RepositoryError(
            f"{export} is the export, and where the build stops at the ONNX that is written as "
            f"{onnx_path}; give the export another name, or another --repository"
        )


def _built_graph(order: BuildOrder, conversion: Conversion, judged: Judged) -> BuiltGraph:
    """Return the graph that will be served, with the steps inside if the layout says so."""
    prepared, target = order.prepared, order.target
    graph, equal_pixels = conversion.converted.model, None
    reach = reach_of(graph, prepared.upsampling)
    if target.is_fused:
        order.progress(FUSING, 0, 1)
        pictures = order.pictures.for_gate(target.precision)
        graph, equal_pixels = fuse_and_check(prepared, graph, pictures, target)
        judged = judged.with_folded_steps(fixed_sizes(prepared).image_hw, equal_pixels)
        order.progress(FUSING, 1, 1)
    return BuiltGraph(
        prepared=prepared,
        graph=graph,
        judged=judged,
        target=target,
        provenance=Provenance(
            onnx_sha256=prepared.onnx_sha256,
            precision=target.precision,
            runtime=target.runtime,
            tritonseg_version=importlib.metadata.version("tritonseg"),
        ),
        reach=reach,
        int8_cpu=conversion.int8_cpu,
        equal_pixels_after_fuse=equal_pixels,
    )


def _gpu_for(target: BuildTarget, options: BuildOptions) -> tuple[Gpu | None, str | None]:
    """Return what a plan is built on, and why the build stops at the ONNX, if it does."""
    if options.onnx_only:
        return None, ONNX_ONLY
    if not target.on_gpu:
        return None, None
    try:
        return inspect_machine().first_gpu(), None
    except TensorRTUnavailableError as error:
        return None, f"{NO_TENSORRT}: {error}"
