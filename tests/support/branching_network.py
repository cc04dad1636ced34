"""A small network that takes some sizes only, as U-Nets and HRNets do."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tiny_models import CLASSES

STRIDE = 8


def branching_network(*, height: str | int = "h", batch: str | int = "N") -> onnx.ModelProto:
    """A network whose two branches meet again only where the stride divides the size."""
    rng = np.random.default_rng(0)
    nodes, constants = [], []

    def conv(source: str, name: str, inputs: int, outputs: int, stride: int) -> str:
        weights = rng.normal(0, 0.4, (outputs, inputs, 3, 3)).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"{name}_w"))
        attributes = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [stride] * 2}
        nodes.append(helper.make_node("Conv", [source, f"{name}_w"], [name], name, **attributes))
        return name

    fine = conv("image", "fine", 3, 4, 1)
    coarse = conv("image", "coarse", 3, 4, STRIDE)
    constants.append(numpy_helper.from_array(np.array([1, 1, STRIDE, STRIDE], np.float32), "up"))
    nodes.append(helper.make_node("Resize", [coarse, "", "up"], ["upsampled"], mode="linear"))
    nodes.append(helper.make_node("Concat", [fine, "upsampled"], ["both"], axis=1))
    conv("both", "output", 8, CLASSES, 1)
    graph = helper.make_graph(
        nodes, "branches",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, height, "w"])],
        [helper.make_empty_tensor_value_info("output")], constants,
    )  # fmt: skip
    graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)
