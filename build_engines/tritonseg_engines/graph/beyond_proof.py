"""Refuse what pictures cannot prove: sizes and indices at which runtimes part in silence.

The proof holds the network against the export on some pictures of some sizes. Where a runtime does
something else at single sizes, or beyond the end of a table where ONNX Runtime fails, no picture
that it takes need show it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import ShapeInferencePass

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph import surgery
from tritonseg_engines.graph.plain_operators import counts_beyond_padding
from tritonseg_engines.graph.static_shapes import RESIZE_SCALES_INPUT, RESIZE_SIZES_INPUT
from tritonseg_engines.graph.value_range import value_range

SIDES = np.arange(1, 8193)
"""Sides in cells of what a Resize enlarges or shrinks."""
ADDED_TO_SCALE = 1e-6
"""By OpenVINO 2025 and 2026, before it multiplies by a side; measured by reshaping one Resize."""
INDICES_INPUT = 1
SHAPES = ("Shape", "Size")
"""What these give of a tensor depends on its size alone."""


def refuse_unprovable(network: onnx.ModelProto, *, one_size: bool) -> None:
    """Refuse what the runtime that serves rounds or counts otherwise, and lookups without bounds.

    Args:
        network: What is to be served.
        one_size: Whether it is served at one size only, which the proof has tried.

    Raises:
        OnnxModelError: There is one; the message names the node and says how to export without.
    """
    edited = surgery.editable(network)
    if not one_size:
        for node in surgery.all_nodes(edited):
            if node.op_type in ("Resize", "Upsample"):
                _check_scales(node)
                _check_nearest(node)
            if counts_beyond_padding(node):
                raise OnnxModelError(
                    f"{_called(node)} rounds sizes up and counts its padding, which the runtime "
                    "that serves counts otherwise at some sizes; export it with "
                    "count_include_pad=False, or at a fixed size"
                )
    lookups = list(_lookups(edited.graph))
    if lookups:
        ShapeInferencePass(check_type=False, strict_mode=False)(edited)
    seen = surgery.values_of_pictures(edited.graph, but_of=SHAPES)
    for node in lookups:
        by_content = node.inputs[INDICES_INPUT] in seen
        if (by_content or not one_size) and not _is_bounded(node):
            raise OnnxModelError(_unbounded(node, by_content=by_content))


def _check_scales(node: ir.Node) -> None:
    scales = _scales(node)
    for scale in [] if scales is None else np.unique(scales):
        parted = SIDES[_size_in_onnx_runtime(scale) != _size_in_openvino(scale)]
        if parted.size:
            side, cells = parted[0], int(_size_in_onnx_runtime(scale)[parted[0] - 1])
            raise OnnxModelError(
                f"{_called(node)} resizes by {scale:.6g}, with which the runtime that serves "
                f"rounds some sizes otherwise (a side of {side} to {cells + 1}, not {cells}); "
                "export it with the size that it leads to, or at a fixed size"
            )


def _check_nearest(node: ir.Node) -> None:
    """Refuse what takes the nearest of cells between which the runtimes choose otherwise.

    Where the size is computed a place can lie halfway between two cells, and OpenVINO (2026.4)
    comes to it by other roundings than ONNX Runtime.
    """
    read = node.attributes
    sizes = node.inputs[RESIZE_SIZES_INPUT] if len(node.inputs) > RESIZE_SIZES_INPUT else None
    if sizes is None or surgery.constant_value(sizes) is not None:
        return
    places = read.get_string("coordinate_transformation_mode", "half_pixel")
    rounding = read.get_string("nearest_mode", "round_prefer_floor")
    nearest = read.get_string("mode", "nearest") == "nearest"
    if nearest and (places == "align_corners" or rounding != "floor"):
        raise OnnxModelError(
            f"{_called(node)} takes the nearest cell by {places} and {rounding}, with which the "
            "runtime that serves takes others at some sizes; export it with mode: linear, with "
            "asymmetric coordinates and nearest_mode: floor (torch's `nearest`), or at a fixed size"
        )


def _scales(node: ir.Node) -> NDArray[np.float32] | None:
    if node.op_type == "Upsample" and len(node.inputs) == 1:
        return np.asarray(node.attributes.get_floats("scales", ()), np.float32)
    place = RESIZE_SCALES_INPUT if node.op_type == "Resize" and len(node.inputs) > 2 else 1
    return surgery.constant_value(node.inputs[place])


def _size_in_onnx_runtime(scale: np.float32) -> NDArray[np.float32]:
    """Source: ONNX Runtime, `upsamplebase.h`: the product, a float32, is cut to an integer."""
    floored: NDArray[np.float32] = np.floor(SIDES.astype(np.float32) * scale)
    return floored


def _size_in_openvino(scale: np.float32) -> NDArray[np.float64]:
    floored: NDArray[np.float64] = np.floor(SIDES * (float(scale) + ADDED_TO_SCALE))
    return floored


def _lookups(graph: ir.Graph) -> Iterator[ir.Node]:
    """Yield nodes that take out of a constant table what a picture, or its size, says."""
    of_pictures = surgery.values_of_pictures(graph)
    for node in ir.traversal.RecursiveGraphIterator(graph):
        if node.op_type in ("Gather", "GatherElements", "GatherND"):
            table, indices = node.inputs[:2]
            if table not in of_pictures and indices in of_pictures:
                yield node


def _is_bounded(node: ir.Node) -> bool:
    """Whether indices are those of rows that the table has, negative ones counted from its end."""
    table = node.inputs[0]
    constant = surgery.constant_value(table)
    dims = surgery.dimensions(table) if constant is None and table is not None else None
    shape = constant.shape if constant is not None else dims or ()
    if node.op_type != "GatherND":
        axis = node.attributes.get_int("axis", 0)
        shape = shape[axis : axis + 1 or None]
    known = [dim for dim in shape if dim is not None]
    if len(known) < len(shape) or not known:
        return False
    return value_range(node.inputs[INDICES_INPUT]).within(-min(known), min(known) - 1)


def _unbounded(node: ir.Node, *, by_content: bool) -> str:
    what = "a picture" if by_content else "a picture's size"
    instead = "" if by_content else ", or export it at a fixed size"
    return (
        f"{_called(node)} looks up rows of a table by what {what} gives, in no bounds that the "
        "graph says; beyond its end the export fails, and the runtime that serves gives zeros: "
        f"clip the indices (Clip){instead}"
    )


def _called(node: ir.Node) -> str:
    return f"node {node.name or node.outputs[0].name!r} ({node.op_type})"
