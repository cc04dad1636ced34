"""Compute in float32 what a file computes in float64, an operator or all.

Networks with deformable attention are exported with float64 coordinates, and ONNX Runtime has no
GridSample for these on a CPU. OpenVINO and TensorRT compute float64 in float32 anyway.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from tritonseg_engines.graph.single_precision import widen_to_single
from tritonseg_engines.graph.surgery import as_proto, editable, inferred_values, make_node


def without_doubles(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that says float32 wherever it said float64; the same one if it did nowhere.

    What TensorRT computes is then what the file says, and what the gate judges.
    """
    edited = editable(model)
    doubles = ir.DataType.DOUBLE
    if not any(value.dtype == doubles for value in inferred_values(edited).values()):
        return model
    widen_to_single(edited, doubles)
    return as_proto(edited)


def narrow_doubles(model: onnx.ModelProto, op_type: str) -> onnx.ModelProto | None:
    """Return a copy with casts around an operator, or None where it computes nothing in float64."""
    edited = editable(model)
    values = inferred_values(edited)
    doubles: set[str | None] = {
        name for name, value in values.items() if value.dtype == ir.DataType.DOUBLE
    }
    found = [
        node
        for node in edited.graph
        if node.op_type == op_type and doubles & {one.name for one in node.inputs if one}
    ]
    for node in found:
        _narrow(edited.graph, node, doubles)
    return as_proto(edited) if found else None


def _narrow(graph: ir.Graph, node: ir.Node, doubles: set[str | None]) -> None:
    for index, value in enumerate(node.inputs):
        if value is not None and value.name in doubles:
            name = f"{node.outputs[0].name}_input_{index}_float32"
            cast = make_node("Cast", [value], name, to=ir.DataType.FLOAT)
            graph.insert_before(node, cast)
            node.replace_input_with(index, cast.outputs[0])
    for value in node.outputs:
        if value.name in doubles:
            name, value.name = value.name or "", f"{value.name}_float32"
            cast = make_node("Cast", [value], name, to=ir.DataType.DOUBLE)
            wide = cast.outputs[0]
            wide.type, wide.shape = ir.TensorType(ir.DataType.DOUBLE), value.shape
            value.type = ir.TensorType(ir.DataType.FLOAT)
            value.replace_all_uses_with(wide, replace_graph_outputs=True)
            cast.replace_input_with(0, value)
            graph.insert_after(node, cast)
