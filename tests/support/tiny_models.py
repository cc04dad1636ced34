"""Small ONNX models with the tails that exporters write, made here and run for real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tritonseg_engines.spec import InputSpec, ModelSpec, OutputSpec, voc_palette
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.preprocessing import Preprocessing

CLASSES = 5
STRIDE = 4
SIZE_HW = (64, 96)
SIZES = NetworkSizes(height=SIZE_HW[0], width=SIZE_HW[1])

Operator = tuple[str, dict[str, Any]]

RESIZE: Operator = (
    "Resize",
    {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
)
RESIZE_CORNERS: Operator = (
    "Resize",
    {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
)
SOFTMAX: Operator = ("Softmax", {"axis": 1})
ARGMAX: Operator = ("ArgMax", {"axis": 1, "keepdims": 0})
CAST: Operator = ("Cast", {"to": TensorProto.INT32})


@dataclass
class TinyModel:
    """A convolution of stride 4 followed by a tail; an open batch axis."""

    tail: Sequence[Operator] = ()
    layout: str = "NCHW"
    dtype: str = "float32"
    classes: int = CLASSES
    opset: int = 17
    size_hw: tuple[int | None, int | None] = SIZE_HW
    inputs: Sequence[str] = ("image",)
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    def model(self) -> onnx.ModelProto:
        self.nodes = []
        tensor = self._network()
        for position, (op_type, attributes) in enumerate(self.tail):
            target = f"tail_{position}"
            extra = ["", "up"] if op_type == "Resize" else []
            self.nodes.append(helper.make_node(op_type, [tensor, *extra], [target], **attributes))
            tensor = target
        self.nodes[-1].output[0] = "output"
        return self._assemble()

    def _network(self) -> str:
        tensor = "image"
        if self.dtype != "float32":
            node = helper.make_node("Cast", [tensor], ["float"], to=TensorProto.FLOAT)
            self.nodes.append(node)
            tensor = "float"
        if self.layout == "NHWC":
            node = helper.make_node("Transpose", [tensor], ["nchw"], perm=[0, 3, 1, 2])
            self.nodes.append(node)
            tensor = "nchw"
        conv = helper.make_node(
            "Conv", [tensor, "weight"], ["scores"], kernel_shape=[STRIDE] * 2, strides=[STRIDE] * 2
        )
        self.nodes.append(conv)
        return "scores"

    def _assemble(self) -> onnx.ModelProto:
        rng = np.random.default_rng(0)
        weight = rng.standard_normal((self.classes, 3, STRIDE, STRIDE)).astype(np.float32)
        element = getattr(TensorProto, {"float32": "FLOAT"}.get(self.dtype, self.dtype.upper()))
        dims = [3, *self.size_hw] if self.layout == "NCHW" else [*self.size_hw, 3]
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info(name, element, ["N", *dims]) for name in self.inputs],
            [onnx.ValueInfoProto(name="output")],
            [
                numpy_helper.from_array(weight, "weight"),
                numpy_helper.from_array(np.array([1, 1, STRIDE, STRIDE], np.float32), "up"),
            ],
        )
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


def tiny_spec(
    *,
    kind: str = "scores",
    classes: int = CLASSES,
    name: str = "tiny",
    input_name: str = "image",
    upsampling: str = "direct",
    **input_fields: Any,
) -> ModelSpec:
    """The specification of a `TinyModel`; keywords change its input or output."""
    fields = {"name": input_name, "height": SIZE_HW[0], "width": SIZE_HW[1], **input_fields}
    preprocessing = Preprocessing(mean=(127.5,) * 3, scale=(127.5,) * 3)
    if fields.get("dtype") == "uint8":
        preprocessing = Preprocessing(mean=(0.0,) * 3, scale=(1.0,) * 3)
    return ModelSpec(
        name=name,
        input=InputSpec(**fields),
        preprocessing=preprocessing,
        output=OutputSpec(name="output", kind=kind, upsampling=upsampling),
        classes=tuple(f"class {index}" for index in range(classes)),
        palette=voc_palette(classes),
    )


def run_onnx(model: onnx.ModelProto, batch: np.ndarray) -> np.ndarray:
    """Run a model's first output in ONNX Runtime."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: batch})[0]
