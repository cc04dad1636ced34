"""Where no plan can be built: whether NVIDIA's compiler would take what one is built from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tritonseg_engines.build.built_graph import BuiltGraph
from tritonseg_engines.build.engine_file import plan_options
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.build.order import BuildOrder
from tritonseg_engines.gate.layer_precision import shares_text
from tritonseg_engines.graph.onnx_file import save_onnx
from tritonseg_engines.install_command import install_command
from tritonseg_engines.preflight import (
    USUAL_GPUS,
    Preflight,
    find_compiler,
    is_installed,
    preflight,
    read_gpus,
    scratch_folder,
)
from tritonseg_engines.repository.files import ONNX_FILE
from tritonseg_engines.target import BuildTarget
from tritonseg_engines.tensorrt import PLAN_FILE, PlanOptionsError

ASKED_FACT = "NVIDIA's compiler"


@dataclass(frozen=True, kw_only=True, slots=True)
class CompilerCheck:
    """What came of asking.

    Attributes:
        found: The compiler's answers; None where it was not asked.
        unasked: Why it was not.
    """

    found: Preflight | None = None
    unasked: str | None = None


def refuse_unusable(target: BuildTarget, options: BuildOptions) -> None:
    """Refuse now what would be ignored, or refused after minutes of building.

    Raises:
        PlanOptionsError: An option is TensorRT's, and the target's runtime is another.
        PreflightUnavailableError: GPUs are named to ask about, and NVIDIA's compiler is not there.
    """
    if options.of_plans and not target.on_gpu:
        raise PlanOptionsError(
            f"{options.of_plans[0]}: expected --runtime tensorrt, got {target.runtime}; leave it "
            "out"
        )
    if options.preflight_gpus:
        find_compiler()


def ask_compiler(built: BuiltGraph, order: BuildOrder) -> tuple[BuiltGraph, CompilerCheck]:
    """Compile the graph for the GPUs of the order, and add to its report what the layers are.

    Raises:
        OnnxModelError: NVIDIA's compiler refuses it; the message has node, words and cure.
        PreflightError: The compiler gave no answer.
        PlanOptionsError: A GPU is unknown.
    """
    names = order.options.preflight_gpus
    if names == ():
        return built, CompilerCheck(unasked="as asked")
    if names is None and not is_installed():
        return built, CompilerCheck(
            unasked=f"it is not installed; {install_command('preflight')} brings it"
        )
    with scratch_folder() as folder:
        onnx_path = folder / ONNX_FILE
        save_onnx(built.graph, onnx_path)
        found = preflight(
            onnx_path,
            read_gpus(USUAL_GPUS if names is None else names),
            plan_options(built.deployment(PLAN_FILE)),
            limits=order.options.preflight_limits,
            kept_float=built.judged.report.kept_float,
            progress=order.progress,
        )
    found.raise_if_refused()
    return _with_layers(built, found), CompilerCheck(found=found)


def _with_layers(built: BuiltGraph, found: Preflight) -> BuiltGraph:
    report = built.judged.report
    answers = [verdict.answer for verdict in found.verdicts]
    gpus = ", ".join(answer.gpu.name for answer in answers)
    facts = {
        **report.facts,
        ASKED_FACT: f"TensorRT-RTX {answers[0].compiler} compiles it for {gpus}: "
        f"{shares_text(found.layers, found.uncounted)}",
    }
    report = replace(report, facts=facts, layers=found.layers)
    return replace(built, judged=replace(built.judged, report=report))
