"""The gate once more, on the GPU: a TensorRT plan against the reference that its ONNX passed.

The ONNX file was judged before TensorRT saw it. What TensorRT makes of it, fused kernels in the
types of the file, is judged by the same pictures, the same fp32 reference of ONNX Runtime and the
same bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tritonseg_engines.gate.comparison import Reference, compare
from tritonseg_engines.gate.html import WorstPictures
from tritonseg_engines.gate.networks import FoldedSteps, Infer
from tritonseg_engines.gate.report import GateReport
from tritonseg_engines.gate.thresholds import failures
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.tensorrt.device import Device
from tritonseg_engines.tensorrt.loaded_plan import load_plan
from tritonseg_engines.tensorrt.plan import PlanReport

VERIFYING = "comparing the plan with the reference"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanGate:
    """What a plan is judged by.

    Attributes:
        spec: Of the model.
        reference: The pictures with the fp32 network's class maps.
        onnx_report: The verdict on the ONNX that the plan is built from.
        accept: Keep a plan that fails, and record that.
    """

    spec: ModelSpec
    reference: Reference
    onnx_report: GateReport
    accept: bool = False

    def with_folded_steps(self, image_hw: tuple[int, int], onnx_report: GateReport) -> PlanGate:
        """Return the gate of a graph that has the steps inside and takes pictures of one size.

        Args:
            image_hw: That size; pictures of another cannot be judged.
            onnx_report: The verdict with what folding added to it.
        """
        folded = replace(self.reference, segmenter=FoldedSteps(image_hw))
        return replace(self, reference=folded, onnx_report=onnx_report)

    def judge(self, infer: Infer, ran_in: str, progress: Progress | None = None) -> GateReport:
        """Return the verdict on a network that was built from the ONNX.

        Args:
            infer: Runs it.
            ran_in: Where, as the report says it.
            progress: Told after every picture.

        Raises:
            OnnxModelError: A score is not a number.
        """
        onnx, spec = self.onnx_report, self.spec
        worst = WorstPictures(spec.palette)
        comparison = compare(
            self.reference,
            infer,
            spec.classes,
            ignore_index=spec.ignore_index,
            observe=worst.observe,
            progress=(lambda done, total: progress(VERIFYING, done, total)) if progress else None,
        )
        failed = failures(comparison, onnx.thresholds)
        before = f"{onnx.comparison.equal_pixels:.4%} of the pixels, {onnx.verdict}"
        return replace(
            onnx,
            comparison=comparison,
            failures=failed,
            accepted=bool(failed) and self.accept,
            facts={**onnx.facts, "built network ran in": ran_in, "the ONNX by itself": before},
            panels=worst.panels,
        )


def verify_plan(
    plan: PlanReport,
    gate: PlanGate,
    *,
    device: Device | None = None,
    progress: Progress | None = None,
) -> GateReport:
    """Run a plan that was just built on this machine's GPU, and judge it.

    Args:
        plan: Of `build_plan`.
        gate: Of the build that made its ONNX.
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
    ran_in = f"TensorRT {plan.tensorrt_version} on {plan.gpu.name}"
    host_code = plan.options.version_compatible
    with load_plan(plan.plan, gpu=plan.gpu, device=device, runs_host_code=host_code) as loaded:
        return gate.judge(loaded.infer, ran_in, progress)
