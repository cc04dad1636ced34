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
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.boundary import CHANNELS, NCHW_TO_NHWC, NHWC_TO_NCHW
from tritonseg_engines.graph.onnx_file import (
    default_opset,
    graph_inputs,
    producers,
    rename_tensor,
)
from tritonseg_engines.graph.static_shapes import exact_scale
from tritonseg_engines.graph.tail import CLASS_AXIS_NHWC
from tritonseg_steps.contract import CLASS_MAP, IMAGE, NORMALIZED, SCORES
from tritonseg_steps.geometry import Size
from tritonseg_steps.preprocessing import Preprocessing
from tritonseg_steps.upsampling import Upsampling

FUSED_PREFIX = "tritonseg/"
"""Begins the name of every node and constant that is added."""
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
        OnnxModelError: The network gives class indices otherwise than `normalize_boundary`
            leaves them.
    """
    fused = onnx.ModelProto()
    fused.CopyFrom(network)
    graph = fused.graph
    for name in (IMAGE, CLASS_MAP):
        rename_tensor(graph, name, f"{FUSED_PREFIX}export/{name}")
    _prepend_normalization(graph, preprocessing)
    tail = _Chain(graph, SCORES, "argmax")
    scales_hw = [exact_scale(*axis) for axis in zip(scores_hw, image_hw, strict=True)]
    resize = _Resize(default_opset(fused), scales_hw, needed=scores_hw != image_hw)
    if upsampling.kind == "class_map":
        _leave_classes_float(graph)
        resize.append(tail, leading_axes=1, attributes=NEAREST)
    else:
        mode = "align_corners" if upsampling.align_corners else "half_pixel"
        linear = {"mode": "linear", "coordinate_transformation_mode": mode}
        resize.append(tail, leading_axes=2, attributes=linear)
        # OpenVINO takes 41 ms for the argmax of 19 planes of 512x1024, and 8 ms with classes last.
        tail.append("Transpose", perm=NCHW_TO_NHWC)
        tail.append("ArgMax", axis=CLASS_AXIS_NHWC, keepdims=0)
        tail.append("Cast", to=TensorProto.FLOAT)
    tail.append("Cast", output=CLASS_MAP, to=TensorProto.UINT8)
    graph.node.extend(tail.nodes)
    _set_border(graph, image_hw)
    return fused


class _Chain:
    """Nodes one behind the other that are yet to be put into a graph; constants are put at once."""

    def __init__(self, graph: onnx.GraphProto, tensor: str, name: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._graph = graph
        self._tensor = tensor
        self._prefix = f"{FUSED_PREFIX}{name}/"

    def append(
        self, op_type: str, more_inputs: Sequence[str] = (), *, output: str = "", **attributes: Any
    ) -> None:
        """Put a node behind the last; the tensor that it gives has its name, unless told."""
        name = self._prefix + (output or op_type)
        inputs = [self._tensor, *more_inputs]
        self._tensor = output or name
        node = helper.make_node(op_type, inputs, [self._tensor], name=name, **attributes)
        self.nodes.append(node)

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant to the graph and return its full name."""
        full_name = self._prefix + name
        self._graph.initializer.append(numpy_helper.from_array(value, full_name))
        return full_name


class _Resize:
    """Resizes whatever has height and width last, if there is anything to resize."""

    def __init__(self, opset: int, scales_hw: Sequence[np.float32], *, needed: bool) -> None:
        self._opset, self._scales_hw, self._needed = opset, scales_hw, needed

    def append(self, chain: _Chain, *, leading_axes: int, attributes: dict[str, str]) -> None:
        if not self._needed:
            return
        scales = np.array([1] * leading_axes + [*self._scales_hw], np.float32)
        roi = ""
        if self._opset < ROI_OPTIONAL_SINCE:
            roi = chain.constant("roi", np.empty(0, np.float32))
        chain.append("Resize", [roi, chain.constant("scales", scales)], **attributes)


def _prepend_normalization(graph: onnx.GraphProto, preprocessing: Preprocessing) -> None:
    """Put `(pixel - mean) / scale`, as one multiplication and one addition, in front."""
    order = preprocessing.channel_order()
    mean = np.array(preprocessing.mean, np.float64)[order]
    scale = np.array(preprocessing.scale, np.float64)[order]
    factor, offset = (
        values.astype(np.float32).reshape(1, CHANNELS, 1, 1)
        for values in (1 / scale, -mean / scale)
    )
    head = _Chain(graph, IMAGE, "normalize")
    head.append("Cast", to=TensorProto.FLOAT)
    head.append("Transpose", perm=NHWC_TO_NCHW)
    if preprocessing.color_order == "BGR":
        head.append("Gather", [head.constant("order", order)], axis=1)
    head.append("Mul", [head.constant("factor", factor)])
    head.append("Add", [head.constant("offset", offset)], output=NORMALIZED)
    for position, node in enumerate(head.nodes):
        graph.node.insert(position, node)


def _leave_classes_float(graph: onnx.GraphProto) -> None:
    """Make the network's last Cast, from class indices to uint8, one to float32."""
    cast = producers(graph).get(SCORES)
    if cast is None or cast.op_type != "Cast":
        found = "nothing" if cast is None else cast.op_type
        raise OnnxModelError(f"expected a Cast that gives {SCORES}, the class map, got {found}")
    del cast.attribute[:]
    cast.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))


def _set_border(graph: onnx.GraphProto, image_hw: Size) -> None:
    batch = graph_inputs(graph)[0].type.tensor_type.shape.dim[0]
    count = batch.dim_value or batch.dim_param or None
    del graph.input[:], graph.output[:]
    image = helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, [count, *image_hw, CHANNELS])
    class_map = helper.make_tensor_value_info(CLASS_MAP, TensorProto.UINT8, [count, *image_hw])
    graph.input.append(image)
    graph.output.append(class_map)
