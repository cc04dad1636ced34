"""Nodes and constants of a random export while it is drawn, in the forms of several exporters."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ELEMENT_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}
CONSTANT_FORMS = ("initializer", "listed", "node", "half_stored")
"""An initializer; one that is an input as well, as old exporters have it; a Constant node; weights
stored as float16 behind a Cast."""
LARGE = 16
"""Elements from which on a constant is a weight and not a number of an operator."""
AXES_ARE_INPUT_SINCE = 13


class Drawing:
    """A graph while it is drawn.

    Args:
        rng: Draws the weights.
        opset: Of the file.
        half: Whether it computes in float16 throughout.
        form: One of `CONSTANT_FORMS`.
    """

    def __init__(self, rng: np.random.Generator, *, opset: int, half: bool, form: str) -> None:
        self.rng, self.opset, self.form = rng, opset, form
        self.dtype = np.float16 if half else np.float32
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: type | None = None) -> str:
        """Add a constant of the type that is computed in, or of another; return its tensor."""
        array = np.asarray(value, dtype or self.dtype)
        name = f"ct{len(self.constants) + len(self.nodes)}"
        if self.form == "node":
            tensor = numpy_helper.from_array(array, name)
            self.nodes.append(helper.make_node("Constant", [], [name], f"n{name}", value=tensor))
            return name
        if self.form == "half_stored" and array.dtype == np.float32 and array.size >= LARGE:
            array = array.astype(np.float16)
            self.constants.append(numpy_helper.from_array(array, name))
            return self.node("Cast", name, to=TensorProto.FLOAT)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def integers(self, *values: int) -> str:
        """Add a list of int64; return its tensor."""
        return self.constant(list(values), np.int64)

    def node(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node; return the first of its outputs."""
        name = f"t{len(self.constants) + len(self.nodes)}"
        names = [name, *(f"{name}_{index}" for index in range(1, outputs))]
        self.nodes.append(helper.make_node(op_type, inputs, names, f"n{name}", **attributes))
        return name

    def conv(self, source: str, inputs: int, outputs: int, stride: int) -> str:
        """Add a 3x3 convolution."""
        weights = self.rng.normal(0, np.sqrt(2 / (9 * inputs)), (outputs, inputs, 3, 3))
        bias = self.rng.normal(0, 0.3, outputs)
        return self.node(
            "Conv", source, self.constant(weights), self.constant(bias),
            kernel_shape=[3, 3], pads=[1] * 4, strides=[stride] * 2,
        )  # fmt: skip

    def squeezed(self, source: str, axis: int) -> str:
        """Remove an axis of one, as the opset has it."""
        if self.opset < AXES_ARE_INPUT_SINCE:
            return self.node("Squeeze", source, axes=[axis])
        return self.node("Squeeze", source, self.integers(axis))

    def size_of(self, source: str, first: int = 2, last: int = 4) -> str:
        """Return some of a tensor's sizes as a tensor."""
        shape = self.node("Shape", source)
        return self.node("Slice", shape, self.integers(first), self.integers(last))

    def rename(self, tensor: str, name: str) -> None:
        """Call a tensor otherwise, wherever it is named."""
        for node in self.nodes:
            for names in (node.input, node.output):
                for index, one in enumerate(names):
                    names[index] = name if one == tensor else one

    def listed_inputs(self) -> list[onnx.ValueInfoProto]:
        """Return the constants that are inputs as well."""
        if self.form != "listed":
            return []
        return [
            helper.make_tensor_value_info(one.name, one.data_type, one.dims)
            for one in self.constants
        ]
