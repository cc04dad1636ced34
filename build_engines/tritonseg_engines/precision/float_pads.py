"""Pads that OpenVINO leaves where they are, in networks that were quantized elsewhere."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from tritonseg_engines.graph.surgery import (
    add_constant,
    as_proto,
    editable,
    inferred_values,
    make_node,
)

LOWEST = float(np.finfo(np.float32).min)


def with_float_pads(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with a Max in front of every Pad of floats, which changes no value.

    OpenVINO moves a Pad in front of the dequantization that it reads, and then pads with another
    value wherever the zero point is not 0 (2026.4; 0 became -2.4 where the threshold of a binary
    network is padded). Past a Max it moves nothing.
    """
    edited = editable(model)
    graph, types = edited.graph, inferred_values(edited)
    pads = [node for node in graph if node.op_type == "Pad" and _pads_floats(node, types)]
    if not pads:
        return model
    lowest = add_constant(graph, "lowest_of_floats", np.array(LOWEST, np.float32))
    for pad in pads:
        stem = f"{pad.name}/unmoved"
        barrier = make_node("Max", [pad.inputs[0], lowest], stem, name=stem)
        graph.insert_before(pad, barrier)
        pad.replace_input_with(0, barrier.outputs[0])
    return as_proto(edited)


def _pads_floats(pad: ir.Node, types: dict[str, ir.Value]) -> bool:
    source = pad.inputs[0]
    known = None if source is None else types.get(source.name or "")
    constant = pad.attributes.get_string("mode", "constant") == "constant"
    return constant and known is not None and known.dtype == ir.DataType.FLOAT
