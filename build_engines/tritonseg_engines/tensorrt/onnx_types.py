"""What an ONNX file says about precision, which is all that a plan's precision is taken from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto

from tritonseg_engines.graph.onnx_file import inferred_values, load_onnx

QUANTIZERS: Final = ("QuantizeLinear", "DequantizeLinear")
_WITHOUT_ARITHMETIC: Final = ("Cast", "Constant", "Identity", *QUANTIZERS)


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxTypes:
    """The types of an ONNX file's nodes.

    Attributes:
        nodes: (name, operator) of every node, in the file's order.
        has_half: Some of it computes in float16.
        is_quantized: It has QuantizeLinear or DequantizeLinear.
        has_half_scales: One of them has a float16 scale, as int8 beside float16 wants it.
        float32_nodes: Names of the nodes that compute in float32.
    """

    nodes: tuple[tuple[str, str], ...]
    has_half: bool
    is_quantized: bool
    has_half_scales: bool
    float32_nodes: frozenset[str]

    @property
    def precision(self) -> str:
        """The lowest of "fp32", "fp16" and "int8" that it computes in."""
        if self.is_quantized:
            return "int8"
        return "fp16" if self.has_half else "fp32"


def read_onnx_types(path: Path) -> OnnxTypes:
    """Read a file.

    Raises:
        OnnxModelError: It is not a valid ONNX model.
    """
    model = load_onnx(path)
    values = {
        name: value.type.tensor_type.elem_type for name, value in inferred_values(model).items()
    }
    constants = {initializer.name: initializer.data_type for initializer in model.graph.initializer}
    nodes = tuple(model.graph.node)
    scales = [node.input[1] for node in nodes if node.op_type in QUANTIZERS]
    return OnnxTypes(
        nodes=tuple((layer_name(node), node.op_type) for node in nodes),
        has_half=TensorProto.FLOAT16 in set(_tensor_types(model.graph)) | set(values.values()),
        is_quantized=any(node.op_type in QUANTIZERS for node in nodes),
        has_half_scales=any(
            constants.get(name, values.get(name)) == TensorProto.FLOAT16 for name in scales
        ),
        float32_nodes=frozenset(
            layer_name(node)
            for node in nodes
            if node.op_type not in _WITHOUT_ARITHMETIC
            and any(values.get(name) == TensorProto.FLOAT for name in node.output)
        ),
    )


def layer_name(node: onnx.NodeProto) -> str:
    """Return what TensorRT's parser calls the layer that it makes of a node.

    Source: onnx/onnx-tensorrt, `getNodeName`; held against TensorRT-RTX.
    """
    return node.name or (f"node_of_{node.output[0]}" if node.output else "")


def _tensor_types(graph: onnx.GraphProto) -> Iterator[int]:
    for initializer in graph.initializer:
        yield initializer.data_type
    for value in (*graph.input, *graph.output):
        yield value.type.tensor_type.elem_type
