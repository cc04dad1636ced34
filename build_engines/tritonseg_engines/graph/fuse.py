"""Fold the steps around a network into its graph: a picture in, a class map out.

What the normalize and argmax steps do for a picture of the network's own size is put in front of
the network and behind it, in fp32 whatever the network's precision. uint8 stands at the border
only, beside a Cast from or to float32: TensorRT converts it from and to no integer.
Source: TensorRT API reference, `DataType.UINT8`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.boundary import NCHW_TO_NHWC, NHWC_TO_NCHW
from tritonseg_engines.graph.input_check import CHANNELS
from tritonseg_engines.graph.output_nodes import axes_of
from tritonseg_engines.graph.static_shapes import exact_scale
from tritonseg_engines.graph.surgery import (
    add_constant,
    as_proto,
    editable,
    fed_inputs,
    make_node,
    maker,
)
from tritonseg_engines.graph.tail import CLASS_AXIS_NHWC
from tritonseg_steps.contract import CLASS_MAP, IMAGE, NO_CLASS, NORMALIZED, SCORES
from tritonseg_steps.geometry import Size
from tritonseg_steps.preprocessing import Preprocessing
from tritonseg_steps.upsampling import Upsampling

FUSED_PREFIX = "tritonseg/"
"""Begins the name of every node and constant that is added."""
UINT8 = ir.TensorType(ir.DataType.UINT8)
ROI_OPTIONAL_SINCE = 13
"""Opset from which Resize may go without its second input, which is read for cropping only."""
NEAREST = {
    "mode": "nearest",
    "coordinate_transformation_mode": "half_pixel",
    "nearest_mode": "round_prefer_ceil",
}
"""Takes the cell `floor((pixel + 0.5) * cells / pixels)`, as the argmax step does."""


def fuse_steps(
    network: onnx.ModelProto,
    preprocessing: Preprocessing,
    upsampling: Upsampling,
    *,
    image_hw: Size,
    scores_hw: Size,
) -> onnx.ModelProto:
    """Return a copy of the network that does the work of the steps around it.

    Args:
        network: NORMALIZED `(N, 3, h, w)` float32 to SCORES, in any precision.
        preprocessing: Mean, scale and channel order; its resize and padding are left out.
        upsampling: As the argmax step does it.
        image_hw: `(h, w)` of NORMALIZED.
        scores_hw: Height and width of SCORES.

    Returns:
        IMAGE `(N, h, w, 3)` uint8 RGB to CLASS_MAP `(N, h, w)` uint8.

    Raises:
        OnnxModelError: The network gives class indices otherwise than `settle_boundary`
            leaves them.
    """
    fused = editable(network)
    graph = fused.graph
    _free_names(graph, (IMAGE, CLASS_MAP))
    (fed,), (scores,) = fed_inputs(graph), graph.outputs
    batch = None if fed.shape is None else fed.shape[0]
    image = ir.Value(name=IMAGE, type=UINT8, shape=ir.Shape([batch, *image_hw, CHANNELS]))
    _prepend_normalization(graph, image, preprocessing)
    tail = _Chain(graph, scores, "argmax")
    scales_hw = [exact_scale(*axis) for axis in zip(scores_hw, image_hw, strict=True)]
    resize = _Resize(graph.opset_imports[""], scales_hw, needed=scores_hw != image_hw)
    if upsampling.kind == "class_map":
        _leave_classes_float(scores)
        resize.append(tail, leading_axes=1, attributes=NEAREST)
    else:
        mode = "align_corners" if upsampling.align_corners else "half_pixel"
        linear = {"mode": "linear", "coordinate_transformation_mode": mode}
        resize.append(tail, leading_axes=2, attributes=linear)
        # OpenVINO takes 41 ms for the argmax of 19 planes of 512x1024, and 8 ms with classes last.
        tail.append("Transpose", perm=NCHW_TO_NHWC)
        tail.append("ArgMax", axis=CLASS_AXIS_NHWC, keepdims=0)
        tail.append("Cast", to=ir.DataType.FLOAT)
        _mark_unless_finite(tail, scores)
    class_map = tail.append("Cast", output=CLASS_MAP, to=ir.DataType.UINT8)
    graph.extend(tail.nodes)
    class_map.type, class_map.shape = UINT8, ir.Shape([batch, *image_hw])
    graph.outputs[:] = [class_map]
    return as_proto(fused)


class _Chain:
    """Nodes one behind the other that are yet to be put into a graph; constants are put at once."""

    def __init__(self, graph: ir.Graph, value: ir.Value, name: str) -> None:
        self.nodes: list[ir.Node] = []
        self.graph = graph
        self.value = value
        self._prefix = f"{FUSED_PREFIX}{name}/"

    def append(
        self,
        op_type: str,
        more_inputs: Sequence[ir.Value | None] = (),
        *,
        output: str = "",
        **attributes: Any,
    ) -> ir.Value:
        """Put a node behind the last and return what it gives, which has its name unless told."""
        name = self._prefix + (output or op_type)
        inputs = [self.value, *more_inputs]
        node = make_node(op_type, inputs, output or name, name=name, **attributes)
        self.nodes.append(node)
        self.value = node.outputs[0]
        return self.value

    def append_over(self, op_type: str, axes: Sequence[int], **attributes: Any) -> ir.Value:
        """Put a node that reads its axes behind the last, in the form of the graph's opset."""
        inputs, given = axes_of(self.graph, f"{self._prefix}{op_type}_axes", axes)
        return self.append(op_type, inputs, **given, **attributes)

    def constant(self, name: str, value: NDArray[Any]) -> ir.Value:
        """Add a constant to the graph."""
        return add_constant(self.graph, self._prefix + name, value)


class _Resize:
    """Resizes whatever has height and width last, if there is anything to resize."""

    def __init__(self, opset: int, scales_hw: Sequence[np.float32], *, needed: bool) -> None:
        self._opset, self._scales_hw, self._needed = opset, scales_hw, needed

    def append(self, chain: _Chain, *, leading_axes: int, attributes: dict[str, str]) -> None:
        if not self._needed:
            return
        scales = np.array([1] * leading_axes + [*self._scales_hw], np.float32)
        roi = None
        if self._opset < ROI_OPTIONAL_SINCE:
            roi = chain.constant("roi", np.empty(0, np.float32))
        chain.append("Resize", [roi, chain.constant("scales", scales)], **attributes)


def _prepend_normalization(graph: ir.Graph, image: ir.Value, preprocessing: Preprocessing) -> None:
    """Put `(pixel - mean) / scale`, as one multiplication and one addition, in front."""
    order = preprocessing.channel_order()
    mean = np.array(preprocessing.mean, np.float64)[order]
    scale = np.array(preprocessing.scale, np.float64)[order]
    factor, offset = (
        values.astype(np.float32).reshape(1, CHANNELS, 1, 1)
        for values in (1 / scale, -mean / scale)
    )
    (fed,) = fed_inputs(graph)
    head = _Chain(graph, image, "normalize")
    head.append("Cast", to=ir.DataType.FLOAT)
    head.append("Transpose", perm=NHWC_TO_NCHW)
    if preprocessing.color_order == "BGR":
        head.append("Gather", [head.constant("order", order)], axis=1)
    head.append("Mul", [head.constant("factor", factor)])
    normalized = head.append("Add", [head.constant("offset", offset)], output=NORMALIZED)
    fed.replace_all_uses_with(normalized)
    graph.inputs[:] = [image]
    graph.insert_before(graph[0], head.nodes)


def _mark_unless_finite(classes: _Chain, scores: ir.Value) -> None:
    """Make all classes of a picture NO_CLASS where the sum of its scores is not a number."""
    check = _Chain(classes.graph, scores, "finite")
    check.append_over("ReduceSum", (1, 2, 3), keepdims=1)
    check.append_over("Squeeze", (1,))
    check.append("Abs")
    largest = check.constant("largest", np.array(np.finfo(np.float32).max, np.float32))
    is_finite = check.append("Less", [largest])
    marker = check.constant("no_class", np.array(NO_CLASS, np.float32))
    classes.nodes += check.nodes
    found = classes.value
    classes.value = is_finite
    classes.append("Where", [found, marker])


def _leave_classes_float(class_map: ir.Value) -> None:
    """Make the network's last Cast, from class indices to uint8, one to float32."""
    cast, node = maker(class_map, "Cast"), class_map.producer()
    if cast is None:
        found = "nothing" if node is None else node.op_type
        raise OnnxModelError(f"expected a Cast that gives {SCORES}, the class map, got {found}")
    cast.attributes["to"] = ir.AttrInt64("to", ir.DataType.FLOAT)
    class_map.type = ir.TensorType(ir.DataType.FLOAT)


def _free_names(graph: ir.Graph, names: Sequence[str]) -> None:
    """Rename tensors of the export that are called as the fused graph's own are."""
    values = ir.convenience.create_value_mapping(graph)
    for name in names:
        if name in values:
            values[name].name = f"{FUSED_PREFIX}export/{name}"
