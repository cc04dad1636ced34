"""Write sizes that are known into the graph, instead of nodes that compute them.

Exporters leave the batch axis open and therefore compute sizes at run time (Shape, Slice,
Concat), also those of height and width, which are constants. Without these nodes the graph is
one that every TensorRT reads, and that costs nothing at run time.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tritonseg_engines.graph.onnx_file import dimensions, inferred_values, remove_dead_nodes
from tritonseg_engines.graph.same_padding import same_padding

RESIZE_SCALES_INPUT = 2
RESIZE_SIZES_INPUT = 3
RESHAPE_SHAPE_INPUT = 1
LARGEST_SIZES_BYTES = 1024
"""No tensor of sizes, which shape inference does read, is larger."""
COPIED_DIMENSION = 0
COMPUTED_DIMENSION = -1

Shape = list[int | str | None]
"""Sizes; the name of a size that is left open but appears elsewhere; None if unknown."""


def write_static_shapes(model: onnx.ModelProto) -> None:
    """Make Resize, Reshape and padded Conv read constants wherever sizes are known, in place."""
    shapes = _inferred_shapes(model)
    for index, node in enumerate(model.graph.node):
        before, after = shapes.get(node.input[0] if node.input else ""), shapes.get(node.output[0])
        if before is None or after is None:
            continue
        name = node.name or f"{node.op_type}_{index}"
        if node.op_type == "Resize":
            _resize_by_scales(model.graph, node, name, before, after)
        elif node.op_type == "Reshape":
            _reshape_to_constant(model.graph, node, name, before, after)
        elif node.op_type == "Conv":
            _pad_explicitly(node, before)
    remove_dead_nodes(model.graph)


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
    graph: onnx.GraphProto, node: onnx.NodeProto, name: str, before: Shape, after: Shape
) -> None:
    if len(node.input) <= RESIZE_SIZES_INPUT or len(before) != 4 or len(after) != 4:
        return
    source, target = _known(before[2:]), _known(after[2:])
    if source is None or target is None:
        return
    spatial = [exact_scale(old, new) for old, new in zip(source, target, strict=True)]
    scales = _constant(graph, f"{name}_scales", np.array([1, 1, *spatial], np.float32))
    del node.input[RESIZE_SCALES_INPUT:]
    node.input.append(scales)


def _reshape_to_constant(
    graph: onnx.GraphProto, node: onnx.NodeProto, name: str, before: Shape, after: Shape
) -> None:
    """Write the shape with the codes that ONNX has for one computed and for copied dimensions."""
    shape = [
        COPIED_DIMENSION if isinstance(dim, str) and before[axis : axis + 1] == [dim] else dim
        for axis, dim in enumerate(after)
    ]
    constant = [dim if isinstance(dim, int) else COMPUTED_DIMENSION for dim in shape]
    if constant.count(COMPUTED_DIMENSION) > 1:
        return
    node.input[RESHAPE_SHAPE_INPUT] = _constant(
        graph, f"{name}_shape", np.array(constant, np.int64)
    )


def _pad_explicitly(node: onnx.NodeProto, before: Shape) -> None:
    automatic = [entry for entry in node.attribute if entry.name == "auto_pad"]
    size_hw, kernel_hw = _known(before[2:]), _integers(node, "kernel_shape")
    if not automatic or automatic[0].s != b"SAME_UPPER" or size_hw is None:
        return
    if len(kernel_hw) != len(size_hw) or any(d != 1 for d in _integers(node, "dilations")):
        return
    strides_hw = _integers(node, "strides") or [1] * len(size_hw)
    pads = [same_padding(*axis) for axis in zip(size_hw, kernel_hw, strides_hw, strict=True)]
    before_and_after = [pad for side in zip(*pads, strict=True) for pad in side]
    node.attribute.remove(automatic[0])
    node.attribute.append(helper.make_attribute("pads", before_and_after))


def _inferred_shapes(model: onnx.ModelProto) -> dict[str, Shape | None]:
    """Infer without the content of weights, which says nothing and is most of the work."""
    light = onnx.ModelProto()
    light.CopyFrom(model)
    for tensor in light.graph.initializer:
        if len(tensor.raw_data) > LARGEST_SIZES_BYTES:
            tensor.ClearField("raw_data")
    return {name: _shape(value) for name, value in inferred_values(light).items()}


def _shape(value: onnx.ValueInfoProto) -> Shape | None:
    sizes = dimensions(value)
    if sizes is None:
        return None
    names = [dim.dim_param or None for dim in value.type.tensor_type.shape.dim]
    return [name if size is None else size for name, size in zip(names, sizes, strict=True)]


def _known(dims: Shape) -> list[int] | None:
    known = [dim for dim in dims if isinstance(dim, int)]
    return known if len(known) == len(dims) else None


def _constant(graph: onnx.GraphProto, name: str, value: NDArray[np.generic]) -> str:
    graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def _integers(node: onnx.NodeProto, name: str) -> list[int]:
    return next((list(entry.ints) for entry in node.attribute if entry.name == name), [])
