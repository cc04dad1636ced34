"""How much each node of a graph multiplies, by its shapes.

One multiply-accumulate is one multiplication and its addition inside convolutions and matrix
products; bias, activations, pooling and resizing are not counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import onnx

from tritonseg_engines.graph.sized_tensors import SizedTensor

MULTIPLYING: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
OTHERWISE_MULTIPLYING: Final = (
    "Attention", "ConvInteger", "DeformConv", "Einsum", "FusedConv", "FusedGemm", "FusedMatMul",
    "GRU", "LSTM", "MatMulInteger", "QLinearConv", "QLinearMatMul", "RNN",
)  # fmt: skip
"""Operators that multiply, and whose multiplications nobody counts here."""
INSIDE: Final = "in loops, branches and functions"
UNSIZED: Final = "of unknown shapes"


def multiply_accumulates(node: onnx.NodeProto, tensors: Mapping[str, SizedTensor]) -> int:
    """Return the multiply-accumulates of one node; 0 where a shape is not known.

    Args:
        node: One of `MULTIPLYING`.
        tensors: Of its graph.
    """
    if not _is_sized(node, tensors):
        return 0
    read, weights, written = (tensors[name].shape for name in (*node.input[:2], node.output[0]))
    if node.op_type == "Conv":
        return math.prod(written) * math.prod(weights[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(read) * math.prod(weights[1:])
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(written) * (read[0] if transposed else read[-1])


def uncounted(model: onnx.ModelProto, tensors: Mapping[str, SizedTensor]) -> dict[str, int]:
    """Return how many nodes multiply and are not among those counted, by what keeps them out.

    Args:
        model: The graph.
        tensors: Its tensors, for one picture.
    """
    functions = {(one.domain, one.name): one.node for one in model.functions}
    found: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type in OTHERWISE_MULTIPLYING:
            found[node.op_type] += 1
        elif node.op_type in MULTIPLYING and not _is_sized(node, tensors):
            found[UNSIZED] += 1
        found[INSIDE] += sum(
            inner.op_type in (*MULTIPLYING, *OTHERWISE_MULTIPLYING)
            for inner in _inside(node, functions)
        )
    return {how: count for how, count in found.items() if count}


def bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs inside of a loop or branch."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _inside(
    node: onnx.NodeProto, functions: Mapping[tuple[str, str], Iterable[onnx.NodeProto]]
) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that one stands for, at any depth."""
    within = [body.node for body in bodies(node)]
    for body in (*within, functions.get((node.domain, node.op_type), ())):
        for inner in body:
            yield inner
            yield from _inside(inner, functions)


def _is_sized(node: onnx.NodeProto, tensors: Mapping[str, SizedTensor]) -> bool:
    return all(name in tensors for name in (*node.input[:2], node.output[0]))
