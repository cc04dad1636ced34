"""Operators that runtimes read in two ways, written so that there is one."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from tritonseg_engines.graph.surgery import add_constant, constant_value, make_node

FLATTENING = ("Softmax", "LogSoftmax", "Hardmax")
ONE_AXIS_SINCE = 13
"""Opset from which these work along one axis; before, along all from that axis on."""
PADS, PAD_AXES = 1, 3
"""Inputs of Pad; axes, which may follow its value, say that not all are padded."""
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


def pad_before_averages(model: ir.Model) -> None:
    """Let averages that count padding read a padded tensor, in place, where they round sizes up.

    Windows that would start in the padding behind a picture are left out of a padded operator, and
    not of a padded tensor, so that averages that can have any stay as they are.
    """
    for node in list(model.graph):
        if counts_beyond_padding(node) and not _can_start_in_padding(node):
            _pad_before(model.graph, node)


def pad_transposed_explicitly(model: ir.Model) -> None:
    """Write out, in place, what a ConvTranspose cuts off so that sizes become multiples of strides.

    OpenVINO (2026.4) cuts nothing. What is cut is the same for every size.
    Source: ONNX operator ConvTranspose, version 11, `auto_pad`.
    """
    for node in model.graph:
        if node.op_type == "ConvTranspose" and "output_shape" not in node.attributes:
            _cut_explicitly(node)


def _cut_explicitly(node: ir.Node) -> None:
    read = node.attributes
    side = read.get_string("auto_pad", "NOTSET")
    kernel = read.get_ints("kernel_shape", ()) or _sides_of_weight(node)
    if side not in ("SAME_UPPER", "SAME_LOWER") or not kernel:
        return
    ones, zeros = [1] * len(kernel), [0] * len(kernel)
    given = zip(
        kernel,
        read.get_ints("dilations", ones),
        read.get_ints("strides", ones),
        read.get_ints("output_padding", zeros),
        strict=False,
    )
    totals = [(cells - 1) * dilation + 1 - stride + more for cells, dilation, stride, more in given]
    if min(totals) < 0:
        return
    less, more = [total // 2 for total in totals], [-(-total // 2) for total in totals]
    begin, end = (less, more) if side == "SAME_UPPER" else (more, less)
    del node.attributes["auto_pad"]
    node.attributes["pads"] = ir.AttrInt64s("pads", [*begin, *end])


def _sides_of_weight(node: ir.Node) -> list[int]:
    weight = constant_value(node.inputs[1]) if len(node.inputs) > 1 else None
    return [] if weight is None else list(weight.shape[2:])


def crop_by_slices(model: ir.Model) -> None:
    """Let a Slice take away what a Pad with negative numbers does, in place.

    OpenVINO (2026.4) gives other values behind some of those.
    Source: ONNX operator Pad, version 11: "a negative value means cropping".
    """
    graph = model.graph
    for node in [node for node in graph if node.op_type == "Pad"]:
        constant = node.attributes.get_string("mode", "constant") == "constant"
        known = constant and len(node.inputs) > PADS
        pads = constant_value(node.inputs[PADS]) if known else None
        if pads is not None and pads.size and pads.min() < 0 and len(node.inputs) <= PAD_AXES:
            _crop_behind(graph, node, pads)


def _crop_behind(graph: ir.Graph, node: ir.Node, pads: NDArray[np.int64]) -> None:
    target = node.outputs[0]
    stem = f"{target.name}_cropped"
    before, behind = np.split(np.minimum(pads, 0), 2)
    ends = np.where(behind < 0, behind, np.iinfo(np.int64).max)
    bounds = {"starts": -before, "ends": ends, "axes": np.arange(len(before))}
    constants = [
        add_constant(graph, f"{stem}_{name}", np.asarray(values, np.int64))
        for name, values in bounds.items()
    ]
    node.replace_input_with(PADS, add_constant(graph, f"{stem}_pads", np.maximum(pads, 0)))
    crop = make_node("Slice", [target, *constants], stem)
    crop.outputs[0].type, crop.outputs[0].shape = target.type, target.shape
    name = target.name
    target.replace_all_uses_with(crop.outputs[0], replace_graph_outputs=True)
    crop.replace_input_with(0, target)
    graph.insert_after(node, crop)
    target.shape = None
    target.name, crop.outputs[0].name = f"{stem}_whole", name


def counts_beyond_padding(node: ir.Node) -> bool:
    """Whether it is an average with windows that may reach beyond padding that it counts.

    ONNX Runtime counts the padding and nothing beyond it, as torch does; OpenVINO (2026.4) counts
    both. Of what lies in a tensor both count the same.
    """
    read = node.attributes
    return (
        node.op_type == "AveragePool"
        and read.get_int("ceil_mode", 0) != 0
        and read.get_int("count_include_pad", 0) != 0
        and any(read.get_ints("pads", ()))
    )


def _can_start_in_padding(node: ir.Node) -> bool:
    """Whether of some size the last window, where that is rounded up, starts behind a picture."""
    read = node.attributes
    kernel, pads = read.get_ints("kernel_shape", ()), read.get_ints("pads", ())
    strides = read.get_ints("strides", [1] * len(kernel))
    dilations = read.get_ints("dilations", [1] * len(kernel))
    behind = pads[len(kernel) :]
    return any(
        pad + stride > (cells - 1) * dilation + 1
        for pad, stride, cells, dilation in zip(behind, strides, kernel, dilations, strict=False)
    )


def _pad_before(graph: ir.Graph, node: ir.Node) -> None:
    pads = node.attributes.get_ints("pads", ())
    axes = len(pads) // 2
    whole = np.array([0, 0, *pads[:axes], 0, 0, *pads[axes:]], np.int64)
    stem = f"{node.outputs[0].name}_padded"
    pad = make_node("Pad", [node.inputs[0], add_constant(graph, f"{stem}_pads", whole)], stem)
    graph.insert_before(node, pad)
    node.replace_input_with(0, pad.outputs[0])
    node.attributes["pads"] = ir.AttrInt64s("pads", [0] * len(pads))
    node.attributes["count_include_pad"] = ir.AttrInt64("count_include_pad", 0)


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
