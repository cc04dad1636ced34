"""Write sizes that are known into the graph, instead of nodes that compute them.

Exporters leave the batch axis open and therefore compute sizes at run time (Shape, Slice,
Concat), also those of height and width, which are constants. Without these nodes the graph is
one that every TensorRT reads, and that costs nothing at run time.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from tritonseg_engines.graph.same_padding import same_padding
from tritonseg_engines.graph.surgery import add_constant, inferred_values

RESIZE_SCALES_INPUT = 2
RESIZE_SIZES_INPUT = 3
RESHAPE_SHAPE_INPUT = 1
COPIED_DIMENSION = 0
COMPUTED_DIMENSION = -1

Shape = list[int | str | None]
"""Sizes; the name of a size that is left open but appears elsewhere; None if unknown."""


def write_static_shapes(model: ir.Model) -> None:
    """Make Resize, Reshape and padded Conv read constants wherever sizes are known, in place."""
    graph = model.graph
    shapes = {name: _shape(value) for name, value in inferred_values(model).items()}
    for index, node in enumerate(graph):
        read = node.inputs[0] if node.inputs else None
        before = shapes.get(read.name or "") if read is not None else None
        after = shapes.get(node.outputs[0].name or "")
        if before is None or after is None:
            continue
        name = node.name or f"{node.op_type}_{index}"
        if node.op_type == "Resize":
            _resize_by_scales(graph, node, name, before, after)
        elif node.op_type == "Reshape":
            _reshape_to_constant(graph, node, name, before, after)
        elif node.op_type == "Conv":
            _pad_explicitly(node, before)
    RemoveUnusedNodesPass()(model)


def exact_scale(source: int, target: int) -> np.float32:
    """Return the float32 scale for which `floor(source * scale)` is the target size.

    Source: ONNX operator Resize, version 13: `output_size = floor(input_size * scale)`. The
    quotient rounded to float32 may lie below the true one and lose a pixel; the next float above
    it cannot gain one for any size below 2^23.
    """
    scale = np.float32(target / source)
    if math.floor(float(scale) * source) < target:
        scale = np.nextafter(scale, np.float32(np.inf), dtype=np.float32)
    return scale


def _resize_by_scales(
    graph: ir.Graph, node: ir.Node, name: str, before: Shape, after: Shape
) -> None:
    if len(node.inputs) <= RESIZE_SIZES_INPUT or len(before) != 4 or len(after) != 4:
        return
    source, target = _known(before[2:]), _known(after[2:])
    if source is None or target is None:
        return
    spatial = [exact_scale(old, new) for old, new in zip(source, target, strict=True)]
    scales = add_constant(graph, f"{name}_scales", np.array([1, 1, *spatial], np.float32))
    node.resize_inputs(RESIZE_SIZES_INPUT)
    node.replace_input_with(RESIZE_SCALES_INPUT, scales)


def _reshape_to_constant(
    graph: ir.Graph, node: ir.Node, name: str, before: Shape, after: Shape
) -> None:
    """Write the shape with the codes that ONNX has for one computed and for copied dimensions."""
    shape = [
        COPIED_DIMENSION if isinstance(dim, str) and before[axis : axis + 1] == [dim] else dim
        for axis, dim in enumerate(after)
    ]
    constant = [dim if isinstance(dim, int) else COMPUTED_DIMENSION for dim in shape]
    if constant.count(COMPUTED_DIMENSION) > 1:
        return
    target = add_constant(graph, f"{name}_shape", np.array(constant, np.int64))
    node.replace_input_with(RESHAPE_SHAPE_INPUT, target)


def _pad_explicitly(node: ir.Node, before: Shape) -> None:
    read = node.attributes
    size_hw, kernel_hw = _known(before[2:]), list(read.get_ints("kernel_shape", ()))
    if read.get_string("auto_pad", "NOTSET") != "SAME_UPPER" or size_hw is None:
        return
    if len(kernel_hw) != len(size_hw) or any(d != 1 for d in read.get_ints("dilations", ())):
        return
    strides_hw = read.get_ints("strides", [1] * len(size_hw))
    pads = [same_padding(*axis) for axis in zip(size_hw, kernel_hw, strides_hw, strict=True)]
    before_and_after = [pad for side in zip(*pads, strict=True) for pad in side]
    del node.attributes["auto_pad"]
    node.attributes["pads"] = ir.AttrInt64s("pads", before_and_after)


def _shape(value: ir.Value) -> Shape | None:
    if value.shape is None:
        return None
    return [dim if isinstance(dim, int) else dim.value for dim in value.shape]


def _known(dims: Shape) -> list[int] | None:
    known = [dim for dim in dims if isinstance(dim, int)]
    return known if len(known) == len(dims) else None
