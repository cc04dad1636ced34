"""How much each node of a graph multiplies, by its shapes.

One multiply-accumulate is one multiplication and its addition inside convolutions and matrix
products; bias, activations, pooling and resizing are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import onnx

from tritonseg_engines.graph.sized_tensors import SizedTensor

MULTIPLYING: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def multiply_accumulates(node: onnx.NodeProto, tensors: Mapping[str, SizedTensor]) -> int:
    """Return the multiply-accumulates of one node; 0 where a shape is not known.

    Args:
        node: One of `MULTIPLYING`.
        tensors: Of its graph.
    """
    names = (*node.input[:2], node.output[0])
    if any(name not in tensors for name in names):
        return 0
    read, weights, written = (tensors[name].shape for name in names)
    if node.op_type == "Conv":
        return math.prod(written) * math.prod(weights[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(read) * math.prod(weights[1:])
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(written) * (read[0] if transposed else read[-1])
