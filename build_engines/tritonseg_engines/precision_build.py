"""One precision of a prepared network: converted, checked for structure, and put to the gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import onnx

from tritonseg_engines.build_options import MODELOPT, BuildOptions
from tritonseg_engines.build_target import BuildTarget
from tritonseg_engines.errors import CalibrationError, OnnxModelError
from tritonseg_engines.gate.choice import PictureChoice
from tritonseg_engines.gate.comparison import Comparison, Reference, compare, run_reference
from tritonseg_engines.gate.html import WorstPictures
from tritonseg_engines.gate.networks import infer_in_onnx_runtime
from tritonseg_engines.gate.plan_gate import PlanGate
from tritonseg_engines.gate.report import GateReport
from tritonseg_engines.gate.served import infer_as_served
from tritonseg_engines.gate.structure import (
    check_conversion,
    check_releases,
    describe_findings,
    releases_of,
)
from tritonseg_engines.gate.thresholds import THRESHOLDS, failures
from tritonseg_engines.precision import (
    Converted,
    Finding,
    Int8Conversion,
    LayerCost,
    batches_of,
    convert_to_half,
)
from tritonseg_engines.precision.int8_cpu import needed_int8_cpu
from tritonseg_engines.precision.modelopt import ModelOptOptions, convert_with_modelopt
from tritonseg_engines.precision.sensitivity import fewest_kept, layer_costs
from tritonseg_engines.prepare import Prepared
from tritonseg_steps.int8_cpu import INT8_WEIGHTS, LARGEST_WEIGHT, Int8Cpu, this_int8_cpu

SEARCH_PICTURES = 8
"""On which the cost of single layers is measured; the choice is then judged on all."""
BLAME_PICTURES = 4
BLAME_MEASUREMENTS = 24
"""After a refusal: enough to name the worst layers, not to search among them."""

Progress = Callable[[str, int, int], None]


class PrecisionBuild:
    """Converts and judges.

    Args:
        prepared: The fp32 network.
        target: What it is for.
        options: Of the build.
        choice: The pictures.
        progress: Told of what takes time.
    """

    def __init__(
        self,
        prepared: Prepared,
        target: BuildTarget,
        options: BuildOptions,
        choice: PictureChoice,
        progress: Progress,
    ) -> None:
        self._prepared, self._target = prepared, target
        precision = self._precision = target.precision
        self._runtime = target.runtime
        self._options, self._choice, self._progress = options, choice, progress
        # An export that rounds to fp16 itself says no more about fp32 than that.
        rounds = precision == "fp32" and prepared.computes_in_half
        self._thresholds = THRESHOLDS["fp16" if rounds else precision]
        self._costs: list[LayerCost] = []
        self._placements: list[Finding] = []
        self._plan_gate: PlanGate | None = None
        self.int8_cpu: Int8Cpu | None = None

    @property
    def plan_gate(self) -> PlanGate:
        """What a plan of the converted network is judged by, once `run` has judged the network."""
        if self._plan_gate is None:
            raise RuntimeError("expected run() before plan_gate")
        return self._plan_gate

    def run(self) -> tuple[Converted, GateReport]:
        """Return the converted network and the gate's verdict on it.

        Raises:
            CalibrationError: Pictures are missing or cannot be used.
            OnnxModelError: The converted graph is not one that the runtime would take.
            SpecificationError: A pattern of nodes to keep matches none.
        """
        by_modelopt = self._options.quantizer == MODELOPT
        int8 = self._int8_conversion() if self._precision == "int8" and not by_modelopt else None
        pictures = self._choice.for_gate(self._precision)
        reference = run_reference(
            infer_in_onnx_runtime(self._prepared.network),
            self._prepared.segmenter,
            pictures,
            lambda done, total: self._progress("running the fp32 reference", done, total),
        )
        converted = self._convert_int8(int8, reference) if int8 else self._convert()
        self._check_structure(converted)
        worst = WorstPictures(self._prepared.spec.palette)
        comparison = self._compare(
            converted.model, reference, "comparing with the reference", worst
        )
        failed = failures(comparison, self._thresholds)
        if failed and int8 is not None and not self._costs and not self._options.accept:
            self._costs = self._measure_costs(
                int8, reference.spread(BLAME_PICTURES), BLAME_MEASUREMENTS
            )
        report = self._report(converted, comparison, failed, worst)
        self._plan_gate = PlanGate(
            spec=self._prepared.spec,
            reference=reference,
            onnx_report=report,
            accept=self._options.accept,
        )
        return converted, report

    def _convert(self) -> Converted:
        network = self._prepared.network
        if self._precision == "fp32":
            return Converted(model=network, kept_float={})
        if self._precision == "int8":
            return self._convert_with_modelopt()
        batches = batches_of(self._choice.for_ranges(), self._prepared.segmenter)
        return convert_to_half(network, batches, self._options.keep_fp32)

    def _convert_with_modelopt(self) -> Converted:
        options = self._options
        if options.modelopt_python is None:
            raise CalibrationError("quantizer modelopt: expected its interpreter, got none")
        self._progress("quantizing in ModelOpt", 0, 1)
        converted = convert_with_modelopt(
            self._prepared.network,
            batches_of(self._choice.for_int8(), self._prepared.segmenter),
            ModelOptOptions(
                python=options.modelopt_python,
                calibrator=options.calibrator,
                keep_fp32=options.keep_fp32,
                half_rest=self._runtime == "tensorrt",
            ),
        )
        self._progress("quantizing in ModelOpt", 1, 1)
        return converted

    def _int8_conversion(self) -> Int8Conversion:
        pictures = self._choice.for_int8()
        half_rest = self._runtime == "tensorrt"
        return Int8Conversion(
            self._prepared.network,
            batches_of(pictures, self._prepared.segmenter),
            len(pictures),
            calibrator=self._options.calibrator,
            keep_fp32=self._options.keep_fp32,
            half_rest=half_rest,
            weight_bits=self._target.weight_bits,
            progress=self._progress,
        )

    def _convert_int8(self, int8: Int8Conversion, reference: Reference) -> Converted:
        everything = int8.convert(int8.layers)
        if self._options.max_miou_drop is None or self._within_budget(
            self._compare(everything.model, reference, "comparing with all layers in int8")
        ):
            return everything
        self._costs = self._measure_costs(int8, reference.spread(SEARCH_PICTURES), None)
        kept = fewest_kept(
            int8.layers,
            self._costs,
            lambda layers: self._compare(
                int8.convert(layers).model, reference, "searching layers to keep"
            ),
            self._within_budget,
        )
        chosen = set(int8.layers if kept is None else kept)
        self._costs = [replace(cost, kept=chosen.issuperset(cost.layers)) for cost in self._costs]
        if kept is None:
            # Too many would have to stay; the gate shall say what all of them cost together.
            return everything
        return int8.convert([layer for layer in int8.layers if layer not in chosen])

    def _within_budget(self, comparison: Comparison) -> bool:
        budget = self._options.max_miou_drop
        within = budget is None or comparison.miou_loss_points <= budget
        return within and not failures(comparison, self._thresholds)

    def _measure_costs(
        self, int8: Int8Conversion, reference: Reference, maximum: int | None
    ) -> list[LayerCost]:
        def measure(layers: Sequence[str]) -> Comparison:
            return self._compare(int8.convert(layers).model, reference)

        bound = {} if maximum is None else {"maximum": maximum}
        return layer_costs(
            int8.layers,
            measure,
            progress=lambda done, total: self._progress("quantizing layers alone", done, total),
            **bound,
        )

    def _compare(
        self,
        model: onnx.ModelProto,
        reference: Reference,
        what: str | None = None,
        worst: WorstPictures | None = None,
    ) -> Comparison:
        spec = self._prepared.spec
        with infer_as_served(model, self._precision, self._runtime) as infer:
            return compare(
                reference,
                infer,
                spec.classes,
                ignore_index=spec.ignore_index,
                observe=worst.observe if worst else None,
                progress=(lambda done, total: self._progress(what, done, total)) if what else None,
            )

    def _check_structure(self, converted: Converted) -> None:
        """Refuse what this package should not have made, and what TensorRT would not read."""
        if self._precision != "fp32":
            own_places = self._options.quantizer != MODELOPT
            self._placements = check_conversion(converted, self._precision, own_places=own_places)
        if self._runtime == "tensorrt":
            check_releases(converted.model)
        else:
            self._check_weights(converted.model)

    def _check_weights(self, model: onnx.ModelProto) -> None:
        """Refuse int8 weights from elsewhere that the CPU of the target computes wrongly."""
        self.int8_cpu = needed_int8_cpu(model)
        if self.int8_cpu is not Int8Cpu.VNNI or self._target.int8_cpu is Int8Cpu.VNNI:
            return
        remedy = (
            "leave out --quantizer modelopt, which has no other weights"
            if self._options.quantizer == MODELOPT
            else "the export is quantized already: export it in float, and --precision int8 "
            "makes weights that fit"
        )
        raise OnnxModelError(
            "its int8 weights use 8 bits, which CPUs without VNNI compute wrongly; expected "
            f"-{LARGEST_WEIGHT[Int8Cpu.AVX2]} to {LARGEST_WEIGHT[Int8Cpu.AVX2]}: {remedy}; or "
            "build it with --cpu vnni on a CPU that has VNNI"
        )

    def _report(
        self,
        converted: Converted,
        comparison: Comparison,
        failed: tuple[str, ...],
        worst: WorstPictures,
    ) -> GateReport:
        model = converted.model
        facts = {
            "built network ran in": "OpenVINO, as in the server"
            if self._runtime == "openvino"
            else "ONNX Runtime, rounding to fp16 wherever the file stores fp16",
            "export, SHA-256": self._prepared.onnx_sha256,
            "nodes": str(len(model.graph.node)),
            "size of the ONNX": f"{model.ByteSize() / 1e6:.2f} MB",
        }
        if self._runtime == "tensorrt":
            facts["read by TensorRT"] = ", ".join(releases_of(model))
        if self._precision == "int8":
            facts["layers in int8"] = str(len(converted.quantized))
            facts["calibrator"] = self._options.calibrator
            facts["quantizer"] = self._options.quantizer
        if self.int8_cpu is not None:
            facts["int8 weights"] = INT8_WEIGHTS[self.int8_cpu]
            facts["judged on a CPU with"] = this_int8_cpu().value.upper()
        if self._placements:
            facts["places that may cost speed"] = describe_findings(self._placements)
        return GateReport(
            title=f"{self._prepared.spec.name}, {self._precision}, {self._runtime}",
            comparison=comparison,
            thresholds=self._thresholds,
            failures=failed,
            accepted=bool(failed) and self._options.accept,
            facts=facts,
            kept_float=dict(converted.kept_float),
            costs=[(c.name, c.changed_pixels, c.miou_loss_points, c.kept) for c in self._costs],
            panels=worst.panels,
        )
