"""Weights stored in half the bytes, for shipping a model; the arithmetic stays float32."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MINIMUM_ELEMENTS = 64
"""Below this a Cast node takes more bytes than it saves."""


def store_weights_as_half(model: onnx.ModelProto) -> None:
    """Round large float32 initializers to float16, each behind a Cast to float32, in place."""
    casts = []
    for initializer in model.graph.initializer:
        weights = numpy_helper.to_array(initializer)
        if weights.dtype != np.float32 or weights.size < MINIMUM_ELEMENTS:
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(weights.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    for position, cast in enumerate(casts):
        model.graph.node.insert(position, cast)


def expand_half_weights(model: onnx.ModelProto) -> None:
    """Undo `store_weights_as_half`, in place: every cast initializer becomes a plain one.

    TensorRT wants the weights of a convolution as constants, not as the output of a node.
    """
    initializers = {value.name: value for value in model.graph.initializer}
    for index in reversed(range(len(model.graph.node))):
        node = model.graph.node[index]
        if node.op_type != "Cast" or node.input[0] not in initializers:
            continue
        initializer = initializers[node.input[0]]
        dtype = helper.tensor_dtype_to_np_dtype(node.attribute[0].i)
        weights = numpy_helper.to_array(initializer).astype(dtype)
        model.graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
        del model.graph.node[index]
