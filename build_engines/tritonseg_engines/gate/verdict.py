"""The verdict on a network that was built, and on what is made of that."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tritonseg_engines.gate.comparison import Comparison, Observer, Reference, compare
from tritonseg_engines.gate.report import GateReport
from tritonseg_engines.gate.thresholds import Thresholds, failures
from tritonseg_engines.gate.worst_pictures import WorstPictures
from tritonseg_engines.progress import Progress, counter
from tritonseg_engines.running.networks import FoldedSteps, Infer
from tritonseg_engines.spec import ModelSpec

FUSED_FACT = "fused graph, pixels as in the ensemble"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """What a network is held against.

    Attributes:
        spec: Of the model.
        reference: Pictures with the fp32 network's class maps.
        thresholds: Of the precision.
        accept: Keep what fails, and record that.
    """

    spec: ModelSpec
    reference: Reference = field(repr=False)
    thresholds: Thresholds
    accept: bool = False

    def compare(
        self,
        infer: Infer,
        progress: Progress,
        what: str | None = None,
        observe: Observer | None = None,
    ) -> Comparison:
        """Return how the network's class maps differ from the reference's.

        Args:
            infer: The network.
            progress: Told after every picture.
            what: What it is told; nothing unless given.
            observe: Shown every picture as it is compared.

        Raises:
            CalibrationError: A label is neither a class nor ignored.
            OnnxModelError: A score is not a number.
        """
        return compare(
            self.reference,
            infer,
            self.spec.classes,
            ignore_index=self.spec.ignore_index,
            observe=observe,
            progress=counter(progress, what) if what else None,
        )

    def fails(self, comparison: Comparison) -> tuple[str, ...]:
        """Return what a comparison fails, as sentences; empty if it passes."""
        return failures(comparison, self.thresholds)

    def judge(
        self, title: str, infer: Infer, facts: dict[str, str], progress: Progress, what: str
    ) -> GateReport:
        """Return the verdict on a network.

        Args:
            title: Model, precision and runtime.
            infer: The network.
            facts: About the build.
            progress: Told after every picture.
            what: What it is told.

        Raises:
            CalibrationError: A label is neither a class nor ignored.
            OnnxModelError: A score is not a number.
        """
        worst = WorstPictures(self.spec.palette)
        comparison = self.compare(infer, progress, what, worst.observe)
        failed = self.fails(comparison)
        return GateReport(
            title=title,
            comparison=comparison,
            thresholds=self.thresholds,
            failures=failed,
            accepted=bool(failed) and self.accept,
            facts=facts,
            panels=worst.panels,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A network in its final precision with its verdict.

    Attributes:
        bar: What it was held against; what is made of it is held against the same.
        report: The verdict.
    """

    bar: Bar = field(repr=False)
    report: GateReport

    def with_folded_steps(self, image_hw: tuple[int, int], equal_pixels: float) -> Judged:
        """Return the verdict on the same network with the server's steps in its graph.

        Args:
            image_hw: Size of the pictures that the graph takes; others cannot be judged.
            equal_pixels: Share of the pixels at which folding changed nothing.
        """
        reference = replace(self.bar.reference, steps=FoldedSteps(image_hw))
        facts = {**self.report.facts, FUSED_FACT: f"{equal_pixels:.4%}"}
        return Judged(
            bar=replace(self.bar, reference=reference), report=replace(self.report, facts=facts)
        )

    def judge_engine(self, infer: Infer, ran_in: str, progress: Progress) -> Judged:
        """Return the verdict on an engine that was compiled from the network.

        Args:
            infer: The engine.
            ran_in: Where, as the report says it.
            progress: Told after every picture.

        Raises:
            OnnxModelError: A score is not a number.
        """
        onnx = self.report
        before = f"{onnx.comparison.equal_pixels:.4%} of the pixels, {onnx.verdict}"
        facts = {**onnx.facts, "built network ran in": ran_in, "the ONNX by itself": before}
        report = self.bar.judge(
            onnx.title, infer, facts, progress, "comparing the plan with the reference"
        )
        report = replace(report, kept_float=onnx.kept_float, costs=onnx.costs, remedy=onnx.remedy)
        return replace(self, report=report)
