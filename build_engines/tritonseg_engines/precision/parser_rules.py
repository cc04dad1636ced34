"""What TensorRT's parser refuses of operators that it reads, or changes without refusing.

Each rule says beforehand, with what to do, what NVIDIA's compiler says to the planted faults of
tests/preflight. OpenVINO takes all of it.

Source: answers of TensorRT-RTX 1.7, which shares its parser with TensorRT 11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import onnx_ir as ir

from tritonseg_engines.precision.checked_graph import CheckedGraph
from tritonseg_engines.precision.finding import Finding, found_at, type_name
from tritonseg_engines.precision.operator_limits import (
    floats_where_integers_are_not_read,
    within_limits,
)
from tritonseg_engines.precision.resize_rules import resizes_known

QUANTIZERS: Final = ("QuantizeLinear", "DequantizeLinear")
ONE_OUTPUT: Final = {
    "MaxPool": "indices",
    "BatchNormalization": "statistics",
    "LayerNormalization": "mean and deviation",
}
"""Operators of which TensorRT gives the first output alone, and what the others are."""
POOLS: Final = ("AveragePool", "LpPool", "MaxPool")
TYPES: Final = (
    ir.DataType.BFLOAT16,
    ir.DataType.BOOL,
    ir.DataType.FLOAT,
    ir.DataType.FLOAT16,
    ir.DataType.INT8,
    ir.DataType.INT32,
    ir.DataType.INT64,
)
"""Of tensors inside a network. float64 is read too, and computed in float32."""
CAST: Final = "cast to float32 or int32 in its place"
INSTEAD: Final = {
    ir.DataType.UINT8: "it has bytes at inputs and outputs only: where the network takes bytes, "
    "export it with a Cast to float32 right behind the picture",
}


def one_output(graph: CheckedGraph) -> Iterator[Finding]:
    """Nobody may read what TensorRT does not give."""
    for node in graph.every_node:
        count = sum(bool(value.name) for value in node.outputs)
        if node.op_type in ONE_OUTPUT and count > 1:
            yield found_at(
                "outputs",
                node,
                f"expected one output of {node.op_type}, got {count}: TensorRT gives no "
                f"{ONE_OUTPUT[node.op_type]}; export the network without reading them",
            )


def pools_without_dilation(graph: CheckedGraph) -> Iterator[Finding]:
    """TensorRT dilates convolutions, no pools."""
    for node in graph.every_node:
        dilations = list(node.attributes.get_ints("dilations", ()))
        if node.op_type in POOLS and any(dilation != 1 for dilation in dilations):
            yield found_at(
                "dilation",
                node,
                f"expected dilations of 1 of {node.op_type}, got {dilations}, which TensorRT does "
                "not pool with; export it with dilation=1",
            )


def scatters_replace(graph: CheckedGraph) -> Iterator[Finding]:
    """TensorRT puts values into places, it adds none to what is there."""
    for node in graph.every_node:
        reduction = node.attributes.get_string("reduction", "none")
        if node.op_type in ("ScatterElements", "ScatterND") and reduction != "none":
            yield found_at(
                "scatter",
                node,
                f"expected {node.op_type} to replace, got reduction {reduction}, which TensorRT "
                "does not read; export the network without it (index_add, scatter_add)",
            )


def types_known(graph: CheckedGraph) -> Iterator[Finding]:
    """TensorRT refuses other types, or takes other ones in their place."""
    for constant in graph.initializers:
        if constant.dtype not in TYPES and not _only_quantizes(constant):
            yield _type(constant, constant.dtype, "write it as float32 or int64")
    for node in graph.nodes:
        for value in () if node.op_type in QUANTIZERS else node.outputs:
            dtype = graph.type_of(value)
            if dtype is ir.DataType.UINT8 and value.is_graph_output():
                continue
            if dtype is not None and dtype not in TYPES:
                yield _type(node, dtype, INSTEAD.get(dtype, CAST))


def bytes_are_cast_first(graph: CheckedGraph) -> Iterator[Finding]:
    """A picture of bytes is for the boundary, and a Cast the only one to read it."""
    for fed in graph.inputs:
        for reader, _ in fed.uses() if fed.dtype == ir.DataType.UINT8 else ():
            if reader.op_type != "Cast":
                yield found_at(
                    "type",
                    reader,
                    f"expected a Cast right behind the uint8 input, got {reader.op_type}: TensorRT "
                    "computes with no bytes; export the network with the Cast first",
                )


def _only_quantizes(constant: ir.Value) -> bool:
    return all(reader.op_type in QUANTIZERS for reader, _ in constant.uses())


def _type(where: ir.Node | ir.Value, dtype: ir.DataType | None, cure: str) -> Finding:
    how = "computes in float32" if dtype is ir.DataType.DOUBLE else "does not compute with"
    return found_at(
        "type", where, f"expected float32, float16, int32, int64 or bool, got {type_name(dtype)}, "
        f"which TensorRT {how}; {cure}"
    )  # fmt: skip


ParserRule = Callable[[CheckedGraph], Iterator[Finding]]
PARSER_RULES: tuple[ParserRule, ...] = (
    one_output,
    pools_without_dilation,
    resizes_known,
    floats_where_integers_are_not_read,
    within_limits,
    scatters_replace,
    types_known,
    bytes_are_cast_first,
)
