"""What an fp16 or int8 graph must look like for TensorRT to take it and fuse it.

Each rule is a function from a graph to findings. They state what the conversions of this package
promise, and hold for graphs from elsewhere too.

Source: TensorRT developer guide, "Working with quantized types", Q/DQ placement;
onnx/onnx-tensorrt, `docs/operators.md`, rows DequantizeLinear and QuantizeLinear.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from tritonseg_engines.graph.onnx_file import (
    default_opset,
    graph_inputs,
    inferred_values,
    producers,
)
from tritonseg_engines.precision.operators import NEWEST_OPSET, OLDEST_OPSET, unreadable
from tritonseg_engines.precision.quantize import ACTIVATIONS, LAYER_OPERATORS
from tritonseg_steps.contract import NORMALIZED, SCORES

WEIGHT_AXES = {"Conv": 0, "ConvTranspose": 1}
"""Axis of the weights that counts output channels."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation: the rule, the node or tensor, and what is wrong with it."""

    rule: str
    where: str
    message: str


class Graph:
    """A model and what the rules ask of it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes = list(model.graph.node)
        self.producer = producers(model.graph)
        self.readers = Counter(name for node in self.nodes for name in node.input)
        self.types = {
            name: value.type.tensor_type.elem_type for name, value in inferred_values(model).items()
        }
        self._initializers = {value.name: value for value in model.graph.initializer}
        self.types.update({name: v.data_type for name, v in self._initializers.items()})

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return a constant's value, or None."""
        value = self._initializers.get(name)
        return None if value is None else numpy_helper.to_array(value)

    def quantized_source(self, tensor: str) -> str | None:
        """Return what enters the Q/DQ pair, or the lone DQ, that a tensor comes from, or None."""
        dequantize = self.producer.get(tensor)
        if dequantize is None or dequantize.op_type != "DequantizeLinear":
            return None
        quantize = self.producer.get(dequantize.input[0])
        return dequantize.input[0] if quantize is None else quantize.input[0]

    def layers(self) -> list[onnx.NodeProto]:
        """Return the nodes whose weights can be int8."""
        return [node for node in self.nodes if node.op_type in LAYER_OPERATORS]


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
        releases: TensorRT releases that must read it, keys of `operators.NEWEST_OPSET`.
    """
    graph = Graph(model)
    findings = [finding for rule in RULES for finding in rule(graph, kept_float)]
    return findings + list(readable_by_tensorrt(graph, releases))


def zero_points_are_zero(graph: Graph, _: Collection[str]) -> Iterator[Finding]:
    """TensorRT takes symmetric int8 only."""
    for node in graph.nodes:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        zero_point = graph.constant(node.input[2]) if len(node.input) > 2 else None
        if zero_point is None:
            yield Finding("zero-point", node.name, "expected a constant int8 zero point of 0")
        elif zero_point.dtype != np.int8 or zero_point.any():
            yield Finding(
                "zero-point", node.name, f"expected int8 zeros, got {zero_point.dtype} up to "
                f"{np.abs(zero_point.astype(np.int64)).max()}"
            )  # fmt: skip


def scales_are_positive(graph: Graph, _: Collection[str]) -> Iterator[Finding]:
    """A scale of 0 divides by zero; one that fp16 cannot hold becomes 0 or infinite."""
    for node in graph.nodes:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale = graph.constant(node.input[1])
        if scale is None or not (np.isfinite(scale).all() and (scale > 0).all()):
            yield Finding("scale", node.name, "expected constant, finite scales above 0")


def no_quantized_bias(graph: Graph, _: Collection[str]) -> Iterator[Finding]:
    """TensorRT dequantizes int8, no int32."""
    for node in graph.nodes:
        if node.op_type == "DequantizeLinear" and graph.types.get(node.input[0]) not in (
            TensorProto.INT8,
            None,
        ):
            name = TensorProto.DataType.Name(graph.types[node.input[0]]).lower()
            yield Finding("bias", node.name, f"expected to dequantize int8, got {name}")


def no_pair_before_activation(graph: Graph, _: Collection[str]) -> Iterator[Finding]:
    """A pair between a layer and its activation keeps the two from being one kernel."""
    for node in graph.nodes:
        if node.op_type not in ACTIVATIONS:
            continue
        source = graph.quantized_source(node.input[0])
        layer = graph.producer.get(source) if source is not None else None
        if layer is not None and layer.op_type in LAYER_OPERATORS:
            yield Finding(
                "activation", node.name, f"expected to read {layer.name} directly, not its Q/DQ"
            )


def weights_per_channel(graph: Graph, _: Collection[str]) -> Iterator[Finding]:
    """One scale for all output channels costs accuracy; one along another axis is refused."""
    for node in graph.layers():
        dequantize = graph.producer.get(node.input[1])
        axis = WEIGHT_AXES.get(node.op_type)
        if axis is None or dequantize is None or dequantize.op_type != "DequantizeLinear":
            continue
        scale = graph.constant(dequantize.input[1])
        actual = next((entry.i for entry in dequantize.attribute if entry.name == "axis"), 1)
        if scale is None or scale.ndim != 1 or actual != axis:
            yield Finding(
                "per-channel", node.name, f"expected one weight scale per output channel, axis "
                f"{axis}, got shape {None if scale is None else scale.shape}, axis {actual}"
            )  # fmt: skip


def layers_whole(graph: Graph, kept: Collection[str]) -> Iterator[Finding]:
    """A layer has int8 input and weights, or neither and is meant not to."""
    quantized = any(node.op_type == "QuantizeLinear" for node in graph.nodes)
    for node in graph.layers():
        sides = [graph.quantized_source(name) is not None for name in node.input[:2]]
        if any(sides) and not all(sides):
            # The input may be in int8 for another reader's sake; weights are never by accident.
            if sides[1]:
                yield Finding("half-quantized", node.name, "int8 weights, but a float input")
                continue
            sides = [False, False]
        if quantized and not any(sides) and node.op_type != "MatMul" and node.name not in kept:
            yield Finding("not-quantized", node.name, "expected int8 input and weights")


def residual_adds(graph: Graph, _: Collection[str]) -> Iterator[Finding]:
    """A layer's own result enters the addition as it comes, so that the two are one kernel."""
    for node in graph.nodes:
        if node.op_type == "Add" and all(graph.quantized_source(name) for name in node.input):
            yield Finding("residual", node.name, "expected at most one int8 input, got both")


def no_precision_gap(graph: Graph, _: Collection[str]) -> Iterator[Finding]:
    """fp32 to fp16 and back loses digits, and everything above 65504, for nothing."""
    for node in graph.nodes:
        before = graph.producer.get(node.input[0]) if node.input else None
        if before is None or (node.op_type, before.op_type) != ("Cast", "Cast"):
            continue
        types = [graph.types.get(name) for name in (before.input[0], before.output[0])]
        if [*types, graph.types.get(node.output[0])] == [
            TensorProto.FLOAT,
            TensorProto.FLOAT16,
            TensorProto.FLOAT,
        ]:
            yield Finding("cast", node.name, "expected no Cast from fp32 to fp16 and back")


def half_everywhere(graph: Graph, kept: Collection[str]) -> Iterator[Finding]:
    """In an fp16 graph only the kept nodes compute in fp32."""
    if TensorProto.FLOAT16 not in graph.types.values():
        return
    for node in graph.nodes:
        single = any(graph.types.get(name) == TensorProto.FLOAT for name in node.output)
        if single and node.op_type not in ("Cast", "Constant") and node.name not in kept:
            yield Finding("fp32-left", node.name, f"{node.op_type} computes in fp32, not asked to")


def constants_finite(graph: Graph, _: Collection[str]) -> Iterator[Finding]:
    """A constant beyond fp16 was cut to its largest value, or became infinite."""
    largest = np.finfo(np.float16).max
    for initializer in graph.model.graph.initializer:
        if initializer.data_type != TensorProto.FLOAT16:
            continue
        values = np.abs(numpy_helper.to_array(initializer))
        if np.isnan(values).any() or (values >= largest).any():
            yield Finding("constant", initializer.name, "values at or beyond fp16's largest")


def boundary_unchanged(graph: Graph, _: Collection[str]) -> Iterator[Finding]:
    """What the steps send and read does not depend on the precision."""
    allowed = {
        NORMALIZED: (TensorProto.FLOAT,),
        SCORES: (TensorProto.FLOAT, TensorProto.UINT8),
    }
    values = [*graph_inputs(graph.model.graph), *graph.model.graph.output]
    if [value.name for value in values] != list(allowed):
        names = [value.name for value in values]
        yield Finding("boundary", "graph", f"expected {list(allowed)}, got {names}")
    for value in values:
        element_type = value.type.tensor_type.elem_type
        if element_type not in allowed.get(value.name, (element_type,)):
            name = TensorProto.DataType.Name(element_type).lower()
            yield Finding("boundary", value.name, f"expected its type to stay, got {name}")


def readable_by_tensorrt(graph: Graph, releases: Collection[str]) -> Iterator[Finding]:
    """Operators and opset are ones that the parser of every release reads."""
    opset = default_opset(graph.model)
    for release in releases:
        if not OLDEST_OPSET <= opset <= NEWEST_OPSET[release]:
            yield Finding(
                "opset", "graph", f"TensorRT {release} reads opset {OLDEST_OPSET} to "
                f"{NEWEST_OPSET[release]}, got {opset}"
            )  # fmt: skip
        unknown = set(unreadable((node.op_type for node in graph.nodes), release))
        for node in graph.nodes:
            if node.op_type in unknown or node.domain not in ("", "ai.onnx"):
                yield Finding(
                    "operator", node.name, f"TensorRT {release} does not read {node.op_type}"
                )


Rule = Callable[[Graph, Collection[str]], Iterator[Finding]]
RULES: tuple[Rule, ...] = (
    zero_points_are_zero,
    scales_are_positive,
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
