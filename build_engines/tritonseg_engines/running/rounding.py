"""A typed network as an fp32 one that rounds to fp16 wherever the typed one stores fp16.

It computes on a CPU what a runtime with fp16 kernels computes. ONNX Runtime does not, given the
typed file: neighbouring operators without an fp16 kernel are computed in fp32 without rounding
between them, even with all optimisations off, so that an overflow there is not seen (1.31); and
its optimisations change 1 % of an HRNet's pixels where Q/DQ is in fp16. Casts that are written
out it leaves alone.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from tritonseg_engines.graph.single_precision import widen_attributes, widened
from tritonseg_engines.graph.surgery import as_proto, editable, inferred_values, make_node


def with_written_rounding(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an fp32 model with a Cast to fp16 and back behind everything that gives fp16."""
    rounded = editable(model)
    graph = rounded.graph
    halves = {n for n, v in inferred_values(rounded).items() if v.dtype == ir.DataType.FLOAT16}
    for initializer in graph.initializers.values():
        if initializer.const_value is not None:
            initializer.const_value = widened(initializer.const_value)
            initializer.dtype = initializer.const_value.dtype
    for node in list(graph):
        widen_attributes(node)
        for value in node.outputs:
            if value.name in halves:
                graph.insert_after(node, _round(value))
    proto = as_proto(rounded)
    del proto.graph.value_info[:]  # written for the types before
    return proto


def _round(value: ir.Value) -> list[ir.Node]:
    """Return Casts to fp16 and back, through which all who read the value now read it."""
    name = value.name or ""
    value.name = f"{name}/exact"
    to_half = make_node(
        "Cast", [value], f"{name}/half", name=f"{name}/to_half", to=ir.DataType.FLOAT16
    )
    from_half = make_node(
        "Cast", to_half.outputs, name, name=f"{name}/from_half", to=ir.DataType.FLOAT
    )
    rounded = from_half.outputs[0]
    rounded.type, rounded.shape = ir.TensorType(ir.DataType.FLOAT), value.shape
    value.replace_all_uses_with(rounded, replace_graph_outputs=True)
    to_half.replace_input_with(0, value)
    return [to_half, from_half]
