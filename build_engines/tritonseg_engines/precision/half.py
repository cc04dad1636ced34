"""fp16 in the ONNX itself: typed tensors, Casts at the edges, chosen nodes in fp32.

ONNX Runtime's converter does the typing. What it does not do stands here: keep values between two
fp32 nodes out of fp16 (it casts there and back, and 1e5 becomes infinite on the way), give fp32
nodes their own fp32 constants where they share them, cast a tensor once for all its readers, and
put nodes in order of execution.

Source: onnxruntime 1.31, `onnxruntime/transformers/float16.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import onnx
from onnx import TensorProto
from onnxruntime.transformers.float16 import convert_float_to_float16

from tritonseg_engines.graph.nodes import sort_by_execution
from tritonseg_engines.graph.onnx_file import (
    default_opset,
    producers,
    remove_dead_nodes,
    replace_name,
)

HALF_QUANTIZE_OPSET = 19
"""From here on QuantizeLinear takes fp16. TensorRT 10 and 11 read it; 8.6 documents 17."""
HALF_QUANTIZE_IR = 9
QUANTIZE_OPERATORS = ("QuantizeLinear", "DequantizeLinear")


def half_precision(model: onnx.ModelProto, kept: Collection[str]) -> onnx.ModelProto:
    """Return the model with fp16 tensors; the types of its input and output stay.

    Args:
        model: In fp32; every node has a name of its own and constants are initializers.
        kept: Names of the nodes that compute in fp32.
    """
    prepared = _with_half_quantize(model)
    _separate_constants(prepared.graph, kept)
    typed: onnx.ModelProto = convert_float_to_float16(
        prepared, keep_io_types=True, op_block_list=[], node_block_list=list(kept)
    )
    _join_casts(typed.graph)
    sort_by_execution(typed.graph)
    # Written for fp32, or by a converter that knew less of the graph than inference now does.
    del typed.graph.value_info[:]
    return typed


def _with_half_quantize(model: onnx.ModelProto) -> onnx.ModelProto:
    quantized = any(node.op_type in QUANTIZE_OPERATORS for node in model.graph.node)
    if quantized and default_opset(model) < HALF_QUANTIZE_OPSET:
        converted = onnx.version_converter.convert_version(model, HALF_QUANTIZE_OPSET)
        converted.ir_version = max(converted.ir_version, HALF_QUANTIZE_IR)
        return converted
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _separate_constants(graph: onnx.GraphProto, kept: Collection[str]) -> None:
    """Give kept nodes copies of constants that other nodes read too."""
    constants = {value.name: value for value in graph.initializer}
    shared = {name for node in graph.node if node.name not in kept for name in node.input}
    copied: set[str] = set()
    for node in graph.node:
        if node.name not in kept:
            continue
        for index, name in enumerate(node.input):
            if name not in constants or name not in shared:
                continue
            own = f"{name}/fp32"
            if own not in copied:
                copied.add(own)
                graph.initializer.append(constants[name])
                graph.initializer[-1].name = own
            node.input[index] = own


def _join_casts(graph: onnx.GraphProto) -> None:
    """Connect fp32 nodes directly that are joined by a Cast to fp16 and one back."""
    _drop_repeated_nodes(graph)
    producer = producers(graph)
    outputs = {value.name for value in graph.output}
    for back in list(_casts(graph, TensorProto.FLOAT)):
        there = producer.get(back.input[0])
        if there is None or not _is_cast(there, TensorProto.FLOAT16):
            continue
        source, target = there.input[0], back.output[0]
        if target not in outputs:
            _replace_reads(graph, target, source)
        elif source in producer:
            back.output[0] = ""
            replace_name(producer[source].output, source, target)
            _replace_reads(graph, source, target)
    remove_dead_nodes(graph)


def _drop_repeated_nodes(graph: onnx.GraphProto) -> None:
    """Keep one Cast of a tensor; the converter adds one of the same name for every reader."""
    produced: set[str] = set()
    for index in reversed(range(len(graph.node))):
        names = set(graph.node[index].output)
        if names & produced:
            del graph.node[index]
        produced |= names


def _replace_reads(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        replace_name(node.input, old, new)


def _casts(graph: onnx.GraphProto, element_type: int) -> Iterator[onnx.NodeProto]:
    return (node for node in graph.node if _is_cast(node, element_type))


def _is_cast(node: onnx.NodeProto, element_type: int) -> bool:
    return node.op_type == "Cast" and node.attribute[0].i == element_type
