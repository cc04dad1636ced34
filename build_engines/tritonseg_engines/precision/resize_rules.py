"""Ways of ONNX's Resize that TensorRT's parser refuses, or reads as others.

Source: answers of TensorRT-RTX 1.7, which shares its parser with TensorRT 11.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import onnx_ir as ir

from tritonseg_engines.graph.static_shapes import RESIZE_SCALES_INPUT, RESIZE_SIZES_INPUT
from tritonseg_engines.graph.surgery import constant_value, given_input
from tritonseg_engines.precision.checked_graph import CheckedGraph
from tritonseg_engines.precision.finding import Finding, found_at

COORDINATES: Final = (
    "align_corners",
    "asymmetric",
    "half_pixel",
    "pytorch_half_pixel",
)
OTHER_COORDINATES: Final = "tf_half_pixel_for_nn"
"""Read as half_pixel without a word, which is half a pixel beside."""


def resizes_known(graph: CheckedGraph) -> Iterator[Finding]:
    """TensorRT has not every way of ONNX's Resize."""
    for node in graph.every_node:
        if node.op_type == "Resize":
            yield from _coordinates_known(node)
            yield from _sides_known(graph, node)


def _coordinates_known(node: ir.Node) -> Iterator[Finding]:
    read = node.attributes
    coordinates = read.get_string("coordinate_transformation_mode", "half_pixel")
    if read.get_int("antialias", 0) != 0:
        yield _resize(node, "no antialias, got antialias=1", "antialias=False")
    if coordinates == OTHER_COORDINATES:
        how = read.get_string("mode", "nearest")
        yield found_at(
            "resize",
            node,
            f"expected other coordinates, got {coordinates}, which TensorRT computes as "
            f"half_pixel, with mode {how} half a pixel beside; export it with half_pixel",
        )
    elif coordinates not in COORDINATES:
        yield _resize(node, f"other coordinates, got {coordinates}", "half_pixel")


def _sides_known(graph: CheckedGraph, node: ir.Node) -> Iterator[Finding]:
    read = node.attributes
    policy = read.get_string("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        yield _resize(node, f"stretch, got keep_aspect_ratio_policy {policy}", "its own sizes")
    if read.get_string("mode", "nearest") == "cubic" and _enlarges_channels(graph, node):
        yield _resize(node, "cubic of height and width alone, got of channels too", "linear")
    axes = list(read.get_ints("axes", ()))
    if axes and given_input(node, RESIZE_SIZES_INPUT) is not None:
        yield _resize(node, f"sizes of all axes, got those of {axes}", "scales, or without axes")


def _resize(node: ir.Node, expected: str, instead: str) -> Finding:
    return found_at(
        "resize", node, f"expected {expected}, which TensorRT does not read; export with {instead}"
    )


def _enlarges_channels(graph: CheckedGraph, node: ir.Node) -> bool:
    scales = constant_value(given_input(node, RESIZE_SCALES_INPUT))
    if scales is None:
        return False
    rank = len(graph.shape_of(node.inputs[0]) or scales)
    axes = [axis % rank for axis in node.attributes.get_ints("axes", range(rank))]
    return any(scale != 1 and axis < rank - 2 for axis, scale in zip(axes, scales, strict=False))
