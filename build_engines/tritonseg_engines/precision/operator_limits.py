"""Types and numbers for which TensorRT's parser has no operator that it has for others.

Source: answers of TensorRT-RTX 1.7, which shares its parser with TensorRT 11.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import onnx_ir as ir

from tritonseg_engines.graph.surgery import constant_value, given_input
from tritonseg_engines.precision.checked_graph import CheckedGraph
from tritonseg_engines.precision.finding import Finding, found_at, type_name

OF_FLOATS: Final = (
    "Einsum", "Gemm", "MatMul", "PRelu", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "Relu",
    "Resize",
)  # fmt: skip
LRN_SIZES: Final = range(1, 17, 2)
POOLED_POWERS: Final = (1, 2)
MOST_OF_TOP: Final = 3840


def floats_where_integers_are_not_read(graph: CheckedGraph) -> Iterator[Finding]:
    """ONNX multiplies and resizes whole numbers too, TensorRT floats alone."""
    for node in graph.every_node:
        dtype = graph.type_of(given_input(node, 0)) if node.op_type in OF_FLOATS else None
        if dtype in (ir.DataType.INT32, ir.DataType.INT64):
            yield found_at(
                "integers",
                node,
                f"expected {node.op_type} of floats, got of {type_name(dtype)}, which TensorRT "
                "does not read; export it between a cast to float32 and one back",
            )


def within_limits(graph: CheckedGraph) -> Iterator[Finding]:
    """Some operators TensorRT has for small numbers only."""
    for node in graph.every_node:
        read = node.attributes
        size = read.get_int("size", 1) if node.op_type == "LRN" else 1
        if size not in LRN_SIZES:
            yield _limit(node, f"an odd size up to {LRN_SIZES[-1]}", size, "its own arithmetic")
        power = read.get_int("p", 2) if node.op_type == "LpPool" else 2
        if power not in POOLED_POWERS:
            yield _limit(node, "p of 1 or 2", power, "AveragePool between two powers")
        most = constant_value(given_input(node, 1)) if node.op_type == "TopK" else None
        if most is not None and most.max(initial=0) > MOST_OF_TOP:
            yield _limit(node, f"k up to {MOST_OF_TOP}", int(most.max()), "fewer")


def _limit(node: ir.Node, expected: str, got: int, instead: str) -> Finding:
    return found_at(
        "limit", node, f"expected {node.op_type} with {expected}, got {got}, which TensorRT does "
        f"not compute; export with {instead}"
    )  # fmt: skip
