"""Operators that runtimes read in two ways, written so that there is one."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from tritonseg_engines.graph.surgery import constant_value, make_node

FLATTENING = ("Softmax", "LogSoftmax", "Hardmax")
ONE_AXIS_SINCE = 13
"""Opset from which these work along one axis; before, along all from that axis on."""
SCALES, SIZES = 2, 3
"""Inputs of Resize."""


def flatten_softmaxes(model: ir.Model) -> None:
    """Write out, in place, that a softmax of old opsets is over everything from its axis on.

    OpenVINO (2026.4) takes that axis alone.
    """
    if model.graph.opset_imports[""] < ONE_AXIS_SINCE:
        for node in [node for node in model.graph if node.op_type in FLATTENING]:
            _flatten_around(node)


def without_symmetry(model: ir.Model) -> None:
    """Make Resizes half_pixel, in place, where half_pixel_symmetric is the same.

    They differ where a scale leads to no whole size; OpenVINO (2026.4) does not know the latter.
    Source: ONNX operator Resize, version 19, `coordinate_transformation_mode`.
    """
    for node in model.graph:
        if node.op_type == "Resize":
            _without_symmetry(node)


def _flatten_around(node: ir.Node) -> None:
    source, target, graph = node.inputs[0], node.outputs[0], node.graph
    axis = node.attributes.get_int("axis", 1)
    rank = None if source is None or source.shape is None else len(source.shape)
    if source is None or graph is None or axis == -1 or (rank is not None and axis == rank - 1):
        return
    stem = f"{target.name}_flat"
    shape = make_node("Shape", [source], f"{stem}_shape")
    flat = make_node("Flatten", [source], stem, axis=axis)
    softmax = make_node(node.op_type, flat.outputs, f"{stem}_done", name=node.name, axis=1)
    back = make_node("Reshape", [*softmax.outputs, *shape.outputs], f"{stem}_back")
    graph.insert_before(node, [shape, flat, softmax, back])
    back.outputs[0].type, back.outputs[0].shape = target.type, target.shape
    name = target.name
    target.replace_all_uses_with(back.outputs[0], replace_graph_outputs=True)
    graph.remove(node, safe=True)
    back.outputs[0].name = name


def _without_symmetry(node: ir.Node) -> None:
    mode = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    if mode != "half_pixel_symmetric":
        return
    scales = constant_value(node.inputs[SCALES]) if len(node.inputs) > SCALES else None
    whole = scales is not None and scales.size > 0 and np.array_equal(scales, np.rint(scales))
    has_sizes = len(node.inputs) > SIZES and node.inputs[SIZES] is not None
    if whole or has_sizes:
        key = "coordinate_transformation_mode"
        node.attributes[key] = ir.AttrString(key, "half_pixel")
