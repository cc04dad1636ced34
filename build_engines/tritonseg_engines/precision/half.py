"""fp16 in the ONNX itself: typed tensors, Casts at the edges, chosen nodes in fp32.

ONNX Runtime's converter does the typing. What it does not do stands here: keep values between two
fp32 nodes out of fp16 (it casts there and back, and 1e5 becomes infinite on the way), give fp32
nodes their own fp32 constants where they share them, cast a tensor once for all its readers, and
put nodes in order of execution.

Source: onnxruntime 1.31, `onnxruntime/transformers/float16.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxruntime.transformers.float16 import convert_float_to_float16

from tritonseg_engines.graph.surgery import as_proto, editable, inferred_values, maker
from tritonseg_engines.precision.opset import HALF_QUANTIZE_OPSET, with_opset

QUANTIZE_OPERATORS = ("QuantizeLinear", "DequantizeLinear")
CONVERTER_NAME = re.compile(r"graph_(in|out)put_cast_|_cast_to_")
"""In the names that the converter gives to tensors, whether or not there are such already."""


def half_precision(model: onnx.ModelProto, kept: Collection[str]) -> onnx.ModelProto:
    """Return the model with fp16 tensors; the types of its input and output stay.

    Args:
        model: In fp32; every node has a name of its own and constants are initializers.
        kept: Names of the nodes that compute in fp32.
    """
    quantized = any(node.op_type in QUANTIZE_OPERATORS for node in model.graph.node)
    prepared = editable(with_opset(model, HALF_QUANTIZE_OPSET) if quantized else model)
    _free_names(prepared.graph)
    _separate_constants(prepared.graph, kept)
    converted: onnx.ModelProto = convert_float_to_float16(
        as_proto(prepared), keep_io_types=True, op_block_list=[], node_block_list=list(kept)
    )
    _drop_repeated_nodes(converted.graph)
    # Written for fp32, or by a converter that knew less of the graph than inference now does.
    del converted.graph.value_info[:]
    typed = editable(converted)
    _join_casts(typed)
    return as_proto(typed)


def _free_names(graph: ir.Graph) -> None:
    """Rename tensors of an export that has been through the converter once already."""
    for node in graph:
        for value in node.outputs:
            if value.name and CONVERTER_NAME.search(value.name) and not value.is_graph_output():
                value.name = f"export/{CONVERTER_NAME.sub('/', value.name)}/{node.name}"


def _separate_constants(graph: ir.Graph, kept: Collection[str]) -> None:
    """Give kept nodes copies of constants that other nodes read too."""
    copies: dict[ir.Value, ir.Value] = {}
    for node in graph:
        if node.name not in kept:
            continue
        for index, value in enumerate(node.inputs):
            if value is None or not value.is_initializer():
                continue
            if value not in copies and all(reader.name in kept for reader in value.consumers()):
                continue
            if value not in copies:
                copies[value] = ir.val(f"{value.name}/fp32", const_value=value.const_value)
                graph.register_initializer(copies[value])
            node.replace_input_with(index, copies[value])


def _join_casts(model: ir.Model) -> None:
    """Connect fp32 nodes directly that are joined by a Cast to fp16 and one back."""
    types = {name: value.dtype for name, value in inferred_values(model).items()}
    for back in list(model.graph):
        if not _is_cast(back, ir.DataType.FLOAT):
            continue
        there, target = maker(back.inputs[0], "Cast"), back.outputs[0]
        source = there.inputs[0] if there is not None else None
        if there is None or source is None or not _is_cast(there, ir.DataType.FLOAT16):
            continue
        if types[source.name or ""] not in (ir.DataType.FLOAT, None):
            continue  # from integers, say, which the node behind does not take
        if not target.is_graph_output():
            target.replace_all_uses_with(source)
        elif source.producer() is not None:
            target.replace_all_uses_with(source, replace_graph_outputs=True)
            model.graph.remove(back, safe=True)
            source.name, source.type, source.shape = target.name, target.type, target.shape
    RemoveUnusedNodesPass()(model)


def _drop_repeated_nodes(graph: onnx.GraphProto) -> None:
    """Keep one Cast of a tensor; the converter adds one of the same name for every reader.

    Done on the file's own form: onnx_ir holds no graph in which a tensor comes from two nodes.
    """
    produced: set[str] = set()
    for index in reversed(range(len(graph.node))):
        names = set(graph.node[index].output)
        if names & produced:
            del graph.node[index]
        produced |= names


def _is_cast(node: ir.Node, dtype: ir.DataType) -> bool:
    return node.op_type == "Cast" and node.attributes["to"].as_int() == dtype
