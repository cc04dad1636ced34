"""Resizes in the form that TensorRT's parser reads, and those that it reads as others.

Source: what the parsed network of TensorRT-RTX 1.7 has for each form (`IResizeLayer`), asked by
tests/preflight/test_resizes.py; ONNX operator Resize, version 19.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx_ir as ir

from tritonseg_engines.graph.surgery import (
    add_constant,
    constant_value,
    dimensions,
    inferred_values,
    make_node,
)

MODE: Final = "coordinate_transformation_mode"
WITHOUT_HALF: Final = "tf_half_pixel_for_nn"
"""Half pixels that are added to a place and not taken from it again."""
SAME_ROUNDING: Final = {"round_prefer_floor": "ceil", "floor": "round_prefer_ceil"}
"""Of `nearest` in `half_pixel`, by that in `tf_half_pixel_for_nn`, whose places are half a pixel
further: rounding p + 1/2 down at ties is rounding p up."""
SCALES, SIZES = 2, 3
"""Inputs of Resize."""


def spell_out_resizes(model: ir.Model) -> None:
    """Write scales or sizes of all axes, and `half_pixel` where that is the same, in place.

    TensorRT's parser takes scales and sizes of some `axes` for those of all, and
    `tf_half_pixel_for_nn` with scales alone.
    """
    values = inferred_values(model)
    for node in [node for node in model.graph if node.op_type == "Resize"]:
        read = node.inputs[0]
        dims = None if read is None else dimensions(values.get(read.name or "", read))
        if dims is not None and "axes" in node.attributes:
            _write_all_axes(model.graph, node, len(dims))
        _write_half_pixel(node)


def _write_half_pixel(node: ir.Node) -> None:
    read = node.attributes
    rounding = SAME_ROUNDING.get(read.get_string("nearest_mode", "round_prefer_floor"))
    nearest = read.get_string("mode", "nearest") == "nearest"
    if read.get_string(MODE, "half_pixel") == WITHOUT_HALF and nearest and rounding is not None:
        read[MODE] = ir.AttrString(MODE, "half_pixel")
        read["nearest_mode"] = ir.AttrString("nearest_mode", rounding)


def _write_all_axes(graph: ir.Graph, node: ir.Node, rank: int) -> None:
    axes = [axis % rank for axis in node.attributes.get_ints("axes", ())]
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    # What crops has a region, of the same axes; what keeps its aspect says so of these alone.
    cropping = node.attributes.get_string(MODE, "half_pixel") == "tf_crop_and_resize"
    sizes = node.inputs[SIZES] if len(node.inputs) > SIZES else None
    if policy != "stretch" or cropping:
        return
    if sizes is not None:
        if sorted(axes) != list(range(rank - len(axes), rank)):
            return
        if axes != sorted(axes):
            sizes = _in_order(graph, node, sizes, axes)
        node.replace_input_with(SIZES, _all_sizes(graph, node, sizes, rank - len(axes)))
    else:
        scales = constant_value(node.inputs[SCALES])
        if scales is None or len(scales) != len(axes):
            return
        every = np.ones(rank, np.float32)
        every[axes] = scales
        node.replace_input_with(SCALES, add_constant(graph, f"{_stem(node)}_scales", every))
    del node.attributes["axes"]


def _in_order(graph: ir.Graph, node: ir.Node, sizes: ir.Value, axes: list[int]) -> ir.Value:
    """Return sizes of axes in any order in the order of the axes."""
    order = add_constant(graph, f"{_stem(node)}_order", np.argsort(axes).astype(np.int64))
    gather = make_node("Gather", [sizes, order], f"{_stem(node)}_in_order", axis=0)
    graph.insert_before(node, gather)
    return gather.outputs[0]


def _all_sizes(graph: ir.Graph, node: ir.Node, sizes: ir.Value, leading: int) -> ir.Value:
    """Return the sizes behind those that stay as they are."""
    kept = make_node("Shape", [node.inputs[0]], f"{_stem(node)}_kept", start=0, end=leading)
    both = make_node("Concat", [kept.outputs[0], sizes], f"{_stem(node)}_sizes", axis=0)
    graph.insert_before(node, [kept, both])
    return both.outputs[0]


def _stem(node: ir.Node) -> str:
    return f"{node.outputs[0].name}_all_axes"
