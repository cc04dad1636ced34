"""What an export does to a picture before its first layer: normalization that is part of the graph.

Bytes up to 255 less a mean and over a deviation are a few cheap operations on three channels, and
what they lose in fp16 every layer behind them gets.
"""

from __future__ import annotations

import onnx_ir as ir

from tritonseg_engines.graph.surgery import constant_value, fed_inputs

ARITHMETIC = (
    "Add", "BatchNormalization", "Div", "Mul", "Neg", "Pow", "Reciprocal", "Sqrt", "Sub",
)  # fmt: skip
MOVING = (
    "Cast", "Clip", "Concat", "Gather", "Identity", "Pad", "Reshape", "Slice", "Split", "Squeeze",
    "Transpose", "Unsqueeze",
)  # fmt: skip


def front_nodes(graph: ir.Graph) -> list[ir.Node]:
    """Return the arithmetic in front of the first layer and what leads to it, in order.

    Nothing where a network takes pictures as its first layer wants them.
    """
    of_picture, front = set(fed_inputs(graph)), []
    for node in graph:
        if node.op_type not in (*ARITHMETIC, *MOVING):
            continue
        read = [value for value in node.inputs if value is not None]
        computed = [value for value in read if constant_value(value) is None]
        if computed and of_picture.issuperset(computed):
            front.append(node)
            of_picture.update(node.outputs)
    return _leading_to_arithmetic(front)


def _leading_to_arithmetic(front: list[ir.Node]) -> list[ir.Node]:
    kept: list[ir.Node] = []
    wanted: set[ir.Value | None] = set()
    for node in reversed(front):
        if node.op_type in ARITHMETIC or not wanted.isdisjoint(node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    return kept[::-1]
