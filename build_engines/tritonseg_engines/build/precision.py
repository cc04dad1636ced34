"""One precision of a prepared network: converted, checked for structure, and judged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import onnx

from tritonseg_engines.build.int8 import blame, calibrate, convert_within_budget
from tritonseg_engines.build.options import MODELOPT
from tritonseg_engines.build.order import BuildOrder
from tritonseg_engines.build.quantized_export import (
    check_quantized,
    convert_quantized,
    refuse_options,
    remedy_for,
)
from tritonseg_engines.build.remedy import remedy
from tritonseg_engines.build.served_proof import prove_served
from tritonseg_engines.errors import CalibrationError, OnnxModelError
from tritonseg_engines.gate.comparison import run_reference
from tritonseg_engines.gate.label_check import LabelCheck
from tritonseg_engines.gate.layer_cost import LayerCost
from tritonseg_engines.gate.thresholds import THRESHOLDS
from tritonseg_engines.gate.verdict import Bar, Judged
from tritonseg_engines.graph.narrow import without_doubles
from tritonseg_engines.precision import (
    Converted,
    Finding,
    Int8Conversion,
    batches_of,
    convert_to_half,
)
from tritonseg_engines.precision.int8_cpu import needed_int8_cpu
from tritonseg_engines.precision.modelopt import ModelOptOptions, convert_with_modelopt
from tritonseg_engines.precision.structure import (
    PLACEMENT_RULES,
    check_conversion,
    check_releases,
    describe_findings,
    releases_of,
)
from tritonseg_engines.progress import counter
from tritonseg_engines.running.networks import infer_in_onnx_runtime
from tritonseg_engines.running.served import infer_as_served
from tritonseg_engines.target import Precision
from tritonseg_steps.int8_cpu import INT8_WEIGHTS, LARGEST_WEIGHT, Int8Cpu, this_int8_cpu


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """A network in its precision, and what was found out on the way.

    Attributes:
        converted: The network.
        placements: Places of Q/DQ that only cost speed.
        int8_cpu: What its int8 weights are made for; None if it has none or runs on a GPU.
        costs: Of single layers in int8, as far as they were measured.
        int8: What it was quantized by; None for other precisions and by ModelOpt.
    """

    converted: Converted
    placements: tuple[Finding, ...] = ()
    int8_cpu: Int8Cpu | None = None
    costs: tuple[LayerCost, ...] = ()
    int8: Int8Conversion | None = field(default=None, repr=False)


def convert_and_judge(order: BuildOrder) -> tuple[Conversion, Judged]:
    """Return the network in its precision, and the gate's verdict on it.

    Raises:
        CalibrationError: Pictures are missing or cannot be used.
        OnnxModelError: The converted graph is not one that the runtime would take.
        SpecificationError: A pattern of nodes to keep matches none, or an option does not go with
            a file that is quantized.
    """
    if order.prepared.existing_int8 is not None:
        refuse_options(order, order.prepared.existing_int8)
    int8 = calibrate(order) if _quantizes(order) else None  # refuses before the reference runs
    bar = raise_bar(order)
    conversion = convert(order, int8, bar)
    return conversion, judge(order, conversion, bar)


def raise_bar(order: BuildOrder) -> Bar:
    """Run the fp32 network on the pictures that the build is judged by.

    Raises:
        CalibrationError: Pictures cannot be used, or labels are not those of the classes.
        OnnxModelError: A picture cannot be run, or a score is not a number.
    """
    precision, prepared = order.target.precision, order.prepared
    reference = run_reference(
        infer_in_onnx_runtime(prepared.network),
        prepared.server_steps,
        order.pictures.for_gate(precision),
        counter(order.progress, "running the fp32 reference"),
        label_check=LabelCheck(len(prepared.spec.classes), prepared.spec.ignore_index),
    )
    return Bar(
        spec=prepared.spec,
        reference=reference,
        thresholds=THRESHOLDS[precision if prepared.existing_int8 is None else Precision.INT8],
        accept=order.options.accept,
    )


def convert(order: BuildOrder, int8: Int8Conversion | None, bar: Bar) -> Conversion:
    """Return the network in its precision, after its structure was checked."""
    costs: list[LayerCost] = []
    if int8 is not None:
        converted, costs = convert_within_budget(order, int8, bar)
    else:
        converted = _converted_at_once(order)
    if order.target.on_gpu:
        converted = replace(converted, model=without_doubles(converted.model))
    return Conversion(
        converted=converted,
        placements=_checked_placements(order, converted),
        int8_cpu=_checked_cpu(order, converted.model),
        costs=tuple(costs),
        int8=int8,
    )


def judge(order: BuildOrder, conversion: Conversion, bar: Bar) -> Judged:
    """Return the verdict; where int8 is refused, with the layers that are to blame."""
    converted = conversion.converted
    with (
        remedy_for(order.prepared.existing_int8),
        infer_as_served(converted.model, order.target) as infer,
    ):
        prove_served(order, infer, bar.thresholds)
        report = bar.judge(
            order.title,
            infer,
            _facts(order, conversion),
            order.progress,
            "comparing with the reference",
        )
    costs = conversion.costs
    if report.verdict == "refused" and conversion.int8 is not None and not costs:
        costs = tuple(blame(order, conversion.int8, bar))
    report = replace(
        report,
        kept_float=dict(converted.kept_float),
        costs=costs,
        remedy=remedy(order, found_costs=bool(costs)),
    )
    return Judged(bar=bar, report=report)


def _quantizes(order: BuildOrder) -> bool:
    if order.prepared.existing_int8 is not None:
        return False
    return order.target.precision is Precision.INT8 and order.options.quantizer != MODELOPT


def _converted_at_once(order: BuildOrder) -> Converted:
    prepared = order.prepared
    if prepared.existing_int8 is not None:
        return convert_quantized(order, prepared.existing_int8)
    if order.target.precision is Precision.FP32:
        return Converted(model=prepared.network, kept_float={})
    if order.target.precision is Precision.INT8:
        return _converted_by_modelopt(order)
    batches = batches_of(order.pictures.for_ranges(), prepared.server_steps)
    return convert_to_half(prepared.network, batches, order.options.keep_fp32)


def _converted_by_modelopt(order: BuildOrder) -> Converted:
    options = order.options
    if options.modelopt_python is None:
        raise CalibrationError("quantizer modelopt: expected its interpreter, got none")
    order.progress("quantizing in ModelOpt", 0, 1)
    converted = convert_with_modelopt(
        order.prepared.network,
        batches_of(order.pictures.for_int8(), order.prepared.server_steps),
        ModelOptOptions(
            python=options.modelopt_python,
            calibrator=options.calibrator,
            keep_fp32=options.keep_fp32,
            half_rest=order.target.on_gpu,
        ),
    )
    order.progress("quantizing in ModelOpt", 1, 1)
    return converted


def _checked_placements(order: BuildOrder, converted: Converted) -> tuple[Finding, ...]:
    """Refuse what this package should not have made, and what TensorRT would not read."""
    if order.prepared.existing_int8 is not None:
        return tuple(check_quantized(order, converted))
    placements: list[Finding] = []
    if order.target.precision is not Precision.FP32:
        tolerated = PLACEMENT_RULES if order.options.quantizer == MODELOPT else ()
        placements = check_conversion(converted, order.target.precision, tolerated=tolerated)
    if order.target.on_gpu:
        check_releases(converted.model)
    return tuple(placements)


def _checked_cpu(order: BuildOrder, model: onnx.ModelProto) -> Int8Cpu | None:
    """Refuse int8 weights from elsewhere that the CPU of the target computes wrongly."""
    if order.target.on_gpu:
        return None
    needed = needed_int8_cpu(model)
    if needed is not Int8Cpu.VNNI or order.target.int8_cpu is Int8Cpu.VNNI:
        return needed
    remedy = (
        "leave out --quantizer modelopt, which has no other weights"
        if order.options.quantizer == MODELOPT
        else "the export is quantized already: export it in float, and --precision int8 "
        "makes weights that fit"
    )
    largest = LARGEST_WEIGHT[Int8Cpu.AVX2]
    raise OnnxModelError(
        "its int8 weights use 8 bits, which CPUs without VNNI compute wrongly; expected "
        f"-{largest} to {largest}: {remedy}; or build and serve it on CPUs that have VNNI"
    )


def _facts(order: BuildOrder, conversion: Conversion) -> dict[str, str]:
    model, target = conversion.converted.model, order.target
    facts = {
        "built network ran in": "ONNX Runtime, rounding to fp16 wherever the file stores fp16"
        if target.on_gpu
        else "OpenVINO, as in the server",
        "export, SHA-256": order.prepared.onnx_sha256,
        "nodes": str(len(model.graph.node)),
        "size of the ONNX": f"{model.ByteSize() / 1e6:.2f} MB",
    }
    proof = order.prepared.proof
    facts["proven against the export"] = (
        f"{proof.equal_pixels:.4%} of the pixels equal on the worst picture, {proof.worst}"
    )
    if proof.other_size is not None:
        facts["pictures of other sizes"] = f"on {proof.other_size}"
    if target.on_gpu:
        facts["read by TensorRT"] = ", ".join(releases_of(model))
    existing = order.prepared.existing_int8
    if existing is not None:
        facts["quantized already in the export"] = str(existing)
    elif target.precision is Precision.INT8:
        facts["layers in int8"] = str(len(conversion.converted.quantized))
        facts["calibrator"] = order.options.calibrator
        facts["quantizer"] = order.options.quantizer
    if conversion.int8_cpu is not None:
        facts["int8 weights"] = INT8_WEIGHTS[conversion.int8_cpu]
        facts["judged on a CPU with"] = this_int8_cpu().value.upper()
    if conversion.placements:
        facts["places that may cost speed"] = describe_findings(conversion.placements)
    return facts
