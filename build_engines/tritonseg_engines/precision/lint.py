"""What an fp16 or int8 graph must look like for TensorRT to take it and fuse it.

Each rule is a function from a graph to findings. They state what the conversions of this package
promise, and hold for graphs from elsewhere too.

Source: TensorRT developer guide, "Working with quantized types", Q/DQ placement;
onnx/onnx-tensorrt, `docs/operators.md`, rows DequantizeLinear and QuantizeLinear.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np
import onnx
import onnx_ir as ir

from tritonseg_engines.graph.surgery import constant_value, maker
from tritonseg_engines.precision.checked_graph import CheckedGraph, quantized_source
from tritonseg_engines.precision.finding import Finding, found_at, type_name
from tritonseg_engines.precision.operators import NEWEST_OPSET, OLDEST_OPSET, full_name, unreadable
from tritonseg_engines.precision.parser_rules import PARSER_RULES, QUANTIZERS
from tritonseg_engines.precision.quantize import ACTIVATIONS, LAYER_OPERATORS
from tritonseg_steps.contract import NORMALIZED, SCORES

WEIGHT_AXES = {"Conv": 0, "ConvTranspose": 1}
"""Axis of the weights that counts output channels."""


def lint(
    model: onnx.ModelProto,
    *,
    kept_float: Collection[str] = (),
    releases: Collection[str] = tuple(NEWEST_OPSET),
) -> list[Finding]:
    """Return everything that is wrong with a graph; an empty list for a good one.

    Args:
        model: Converted by `half_precision`, `quantize` or both, or another tool's.
        kept_float: Names of nodes that are meant to compute in fp32 or without int8.
        releases: TensorRT releases that must read it, keys of `operators.NEWEST_OPSET`; none where
            TensorRT's parser has no say.
    """
    graph = CheckedGraph(model)
    findings = [finding for rule in RULES for finding in rule(graph, kept_float)]
    if releases:
        findings += list(not_as_tensorrt_reads(graph))
    return findings + list(readable_by_tensorrt(graph, releases))


def parser_findings(model: onnx.ModelProto) -> list[Finding]:
    """Return what TensorRT's parser would refuse or change, of any release and precision."""
    return list(not_as_tensorrt_reads(CheckedGraph(model)))


def unconverted_findings(model: onnx.ModelProto, release: str) -> list[Finding]:
    """Return what a release of TensorRT would refuse or compute otherwise of anybody's graph."""
    graph = CheckedGraph(model)
    return [
        *zero_points_are_zero(graph, ()),
        *not_as_tensorrt_reads(graph),
        *readable_by_tensorrt(graph, (release,)),
    ]


def not_as_tensorrt_reads(graph: CheckedGraph) -> Iterator[Finding]:
    """Yield what every rule of the parser finds."""
    for rule in PARSER_RULES:
        yield from rule(graph)


def zero_points_are_zero(graph: CheckedGraph, _: Collection[str]) -> Iterator[Finding]:
    """TensorRT takes symmetric int8 only."""
    for node in graph.nodes:
        if node.op_type not in QUANTIZERS:
            continue
        zero_point = constant_value(node.inputs[2]) if len(node.inputs) > 2 else None
        if zero_point is None:
            yield found_at("zero-point", node, "expected a constant int8 zero point of 0")
        elif zero_point.dtype != np.int8 or zero_point.any():
            largest = np.abs(zero_point.astype(np.int64)).max()
            yield found_at(
                "zero-point", node, f"expected int8 zeros, got {zero_point.dtype} up to {largest}"
            )


def scales_are_positive(graph: CheckedGraph, _: Collection[str]) -> Iterator[Finding]:
    """A scale of 0 divides by zero; one that fp16 cannot hold becomes 0 or infinite."""
    for node in graph.nodes:
        if node.op_type not in QUANTIZERS:
            continue
        scale = constant_value(node.inputs[1])
        if scale is None or not (np.isfinite(scale).all() and (scale > 0).all()):
            yield found_at("scale", node, "expected constant, finite scales above 0")


def scales_fit_axis(graph: CheckedGraph, _: Collection[str]) -> Iterator[Finding]:
    """Scales of channels are as many as there are channels."""
    for node in graph.nodes:
        if node.op_type not in QUANTIZERS:
            continue
        scale, shape = constant_value(node.inputs[1]), graph.shape_of(node.inputs[0])
        if scale is None or scale.ndim != 1 or scale.size == 1 or not shape:
            continue
        axis = node.attributes.get_int("axis", 1)
        inside = -len(shape) <= axis < len(shape)
        expected = shape[axis] if inside else None
        if not inside or (expected is not None and scale.size != expected):
            yield found_at(
                "scale", node, f"expected {expected if inside else 'an existing axis, with its'} "
                f"scales along axis {axis} of {shape}, got {scale.size}; quantize it again"
            )  # fmt: skip


def no_quantized_bias(graph: CheckedGraph, _: Collection[str]) -> Iterator[Finding]:
    """TensorRT dequantizes int8, no int32."""
    for node in graph.nodes:
        if node.op_type != "DequantizeLinear":
            continue
        dtype = graph.type_of(node.inputs[0])
        if dtype not in (ir.DataType.INT8, None):
            yield found_at("bias", node, f"expected to dequantize int8, got {type_name(dtype)}")


def no_pair_before_activation(graph: CheckedGraph, _: Collection[str]) -> Iterator[Finding]:
    """A pair between a layer and its activation keeps the two from being one kernel."""
    for node in graph.nodes:
        if node.op_type not in ACTIVATIONS:
            continue
        layer = maker(quantized_source(node.inputs[0]), *LAYER_OPERATORS)
        if layer is not None:
            yield found_at(
                "activation", node, f"expected to read {layer.name} directly, not its Q/DQ"
            )


def weights_per_channel(graph: CheckedGraph, _: Collection[str]) -> Iterator[Finding]:
    """One scale for all output channels costs accuracy; one along another axis is refused."""
    for node in graph.layers():
        dequantize = maker(node.inputs[1], "DequantizeLinear")
        axis = WEIGHT_AXES.get(node.op_type)
        if axis is None or dequantize is None:
            continue
        scale = constant_value(dequantize.inputs[1])
        actual = dequantize.attributes.get_int("axis", 1)
        if scale is None or scale.ndim != 1 or actual != axis:
            shape = None if scale is None else scale.shape
            yield found_at(
                "per-channel",
                node,
                f"expected one weight scale per output channel, axis {axis}, got shape {shape}, "
                f"axis {actual}",
            )


def layers_whole(graph: CheckedGraph, kept: Collection[str]) -> Iterator[Finding]:
    """A layer has int8 input and weights, or neither and is meant not to."""
    quantized = any(node.op_type == "QuantizeLinear" for node in graph.nodes)
    for node in graph.layers():
        sides = [quantized_source(value) is not None for value in node.inputs[:2]]
        if any(sides) and not all(sides):
            # The input may be in int8 for another reader's sake; weights are never by accident.
            if sides[1]:
                yield found_at("half-quantized", node, "int8 weights, but a float input")
                continue
            sides = [False, False]
        if quantized and not any(sides) and node.op_type != "MatMul" and node.name not in kept:
            yield found_at("not-quantized", node, "expected int8 input and weights")


def residual_adds(graph: CheckedGraph, _: Collection[str]) -> Iterator[Finding]:
    """A layer's own result enters the addition as it comes, so that the two are one kernel."""
    for node in graph.nodes:
        sources = [quantized_source(value) for value in node.inputs]
        if node.op_type == "Add" and None not in sources:
            yield found_at("residual", node, "expected at most one int8 input, got both")


def no_precision_gap(graph: CheckedGraph, _: Collection[str]) -> Iterator[Finding]:
    """fp32 to fp16 and back loses digits, and everything above 65504, for nothing."""
    gap = [ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.FLOAT]
    for node in graph.nodes:
        before = maker(node.inputs[0], "Cast") if node.op_type == "Cast" else None
        if before is None:
            continue
        path = (before.inputs[0], before.outputs[0], node.outputs[0])
        if [graph.type_of(value) for value in path] == gap:
            yield found_at("cast", node, "expected no Cast from fp32 to fp16 and back")


def half_everywhere(graph: CheckedGraph, kept: Collection[str]) -> Iterator[Finding]:
    """In an fp16 graph only the kept nodes compute in fp32."""
    if not graph.has_half:
        return
    for node in graph.nodes:
        single = any(graph.type_of(value) == ir.DataType.FLOAT for value in node.outputs)
        if single and node.op_type not in ("Cast", "Constant") and node.name not in kept:
            yield found_at("fp32-left", node, f"{node.op_type} computes in fp32, not asked to")


def constants_finite(graph: CheckedGraph, _: Collection[str]) -> Iterator[Finding]:
    """A constant beyond fp16 was cut to its largest value, or became infinite."""
    largest = np.finfo(np.float16).max
    for constant in graph.initializers:
        values = constant_value(constant)
        if values is None or values.dtype != np.float16:
            continue
        if np.isnan(values).any() or (np.abs(values) >= largest).any():
            yield found_at("constant", constant, "values at or beyond fp16's largest")


def boundary_unchanged(graph: CheckedGraph, _: Collection[str]) -> Iterator[Finding]:
    """What the steps send and read does not depend on the precision."""
    allowed = {
        NORMALIZED: (ir.DataType.FLOAT,),
        SCORES: (ir.DataType.FLOAT, ir.DataType.UINT8),
    }
    values = [*graph.inputs, *graph.outputs]
    if [value.name for value in values] != list(allowed):
        names = [value.name for value in values]
        yield Finding("boundary", "graph", f"expected {list(allowed)}, got {names}")
    for value in values:
        if value.dtype not in allowed.get(value.name or "", (value.dtype,)):
            message = f"expected its type to stay, got {type_name(value.dtype)}"
            yield found_at("boundary", value, message)


def readable_by_tensorrt(graph: CheckedGraph, releases: Collection[str]) -> Iterator[Finding]:
    """Operators and opset are ones that the parser of every release reads."""
    for release in releases:
        if not OLDEST_OPSET <= graph.opset <= NEWEST_OPSET[release]:
            yield Finding(
                "opset", "graph", f"TensorRT {release} reads opset {OLDEST_OPSET} to "
                f"{NEWEST_OPSET[release]}, got {graph.opset}"
            )  # fmt: skip
        for node in graph.every_node:
            operator = full_name(node)
            if unreadable([operator], release):
                yield found_at("operator", node, f"TensorRT {release} does not read {operator}")


Rule = Callable[[CheckedGraph, Collection[str]], Iterator[Finding]]
RULES: tuple[Rule, ...] = (
    zero_points_are_zero,
    scales_are_positive,
    scales_fit_axis,
    no_quantized_bias,
    no_pair_before_activation,
    weights_per_channel,
    layers_whole,
    residual_adds,
    no_precision_gap,
    half_everywhere,
    constants_finite,
    boundary_unchanged,
)
