"""The graphs with one fault each that take more than a line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from planted_graphs import CONV, F16, F32, behind_conv, cast_through, graph, node, weights

HALVES = {"kernel_shape": [2, 2], "strides": [2, 2]}
SAME = {"kernel_shape": [3, 3], "pads": [1] * 4}
NORM = {"g": np.ones(8, F32), "b": np.zeros(8, F32)}
ROI = [0, 0, 0.1, 0.1, 1, 1, 0.9, 0.9]


def two_types() -> onnx.ModelProto:
    return graph([CONV], {"weight": weights(dtype=F16)})


def float_half(op_type: str, **attributes: object) -> onnx.ModelProto:
    reads = "h half" if op_type == "Add" else "h conv"
    channels = 4 if op_type == "Add" else 8
    return behind_conv(
        node("Cast", "conv", "h", to=TensorProto.FLOAT16),
        node(op_type, reads, "x", **attributes),
        node("Cast", "x", to=TensorProto.FLOAT),
        constants={"half": F32(1)} if op_type == "Add" else {},
        shape=("N", channels, 8, 8),
    )


def indices() -> onnx.ModelProto:
    pool = node("MaxPool", "NORMALIZED", "m i", **HALVES)
    return graph([pool, node("Cast", "i", to=TensorProto.FLOAT)], shape=("N", 4, 4, 4))


def unpool() -> onnx.ModelProto:
    return graph(
        [node("MaxPool", "NORMALIZED", "m i", **HALVES), node("MaxUnpool", "m i", **HALVES)]
    )


def integer_convolution() -> onnx.ModelProto:
    nodes = [
        node("QuantizeLinear", "NORMALIZED s z", "q"),
        node("QLinearConv", "q s z w s z s z", "y", pads=[1] * 4),
        node("DequantizeLinear", "y s z"),
    ]
    return graph(nodes, {"s": F32(0.05), "z": np.int8(0), "w": np.ones((4, 4, 3, 3), np.int8)})


def int32_bias() -> onnx.ModelProto:
    nodes = [
        node("DequantizeLinear", "b s", "bias"),
        node("Conv", "NORMALIZED w bias", pads=[1] * 4),
    ]
    return graph(nodes, {"b": np.arange(4, dtype=np.int32), "s": F32(0.1), "w": weights()})


def training(op_type: str) -> onnx.ModelProto:
    if op_type == "Dropout":
        constants = {"r": F32(0.5), "t": np.bool_(True)}
        return behind_conv(node("Dropout", "conv r t"), constants=constants)
    norm = node("BatchNormalization", "conv g b m v", "SCORES rm rv", training_mode=1)
    return behind_conv(norm, constants={name: np.ones(4, F32) for name in "gbmv"})


def bytes_of_a_constant() -> onnx.ModelProto:
    return behind_conv(
        node("Cast", "k", "f", to=TensorProto.FLOAT),
        node("Add", "conv f"),
        constants={"k": np.uint8(3)},
    )


def int16_constant() -> onnx.ModelProto:
    model = bytes_of_a_constant()
    constant = next(one for one in model.graph.initializer if one.name == "k")
    constant.CopyFrom(helper.make_tensor("k", TensorProto.INT16, [], [3]))
    return model


def bytes_in() -> onnx.ModelProto:
    flip = node("Transpose", "NORMALIZED", "f", perm=[0, 1, 3, 2])
    cast = node("Cast", "f", to=TensorProto.FLOAT)
    return graph([flip, cast], reads_dtype=TensorProto.UINT8)


def double_scalar() -> onnx.ModelProto:
    multiplied = node("Mul", "there third", "back")
    model = cast_through(TensorProto.DOUBLE, multiplied)
    model.graph.initializer.append(helper.make_tensor("third", TensorProto.DOUBLE, [], [1 / 3]))
    return model


def scatter(op_type: str) -> onnx.ModelProto:
    if op_type == "ScatterND":
        places, values, attributes = np.zeros((2, 1), np.int64), weights(2, 4, 8, 8), {}
    else:
        places, values, attributes = (
            np.zeros((1, 4, 8, 8), np.int64),
            weights(1, 4, 8, 8),
            {"axis": 2},
        )
    add = node(op_type, "NORMALIZED i u", reduction="add", **attributes)
    return graph([add], {"i": places, "u": values}, opset=18, read=(1, 4, 8, 8), shape=(1, 4, 8, 8))


def to_sizes() -> onnx.ModelProto:
    resize = node(
        "Resize", "conv _ _ s", mode="linear", axes=[2, 3], keep_aspect_ratio_policy="not_larger"
    )
    sizes = {"s": np.array([16, 32], np.int64)}
    return behind_conv(resize, constants=sizes, opset=18, shape=("N", 4, 16, 16))


def of_axes(
    axes: Sequence[int], scales: Sequence[float], shape: Sequence[int | str]
) -> onnx.ModelProto:
    resize = node("Resize", "conv _ s", mode="cubic", axes=list(axes))
    constants = {"s": np.array(scales, F32)}
    return behind_conv(resize, constants=constants, opset=18, shape=shape)


def statistics() -> onnx.ModelProto:
    nodes = [node("LayerNormalization", "conv g b", "n mean"), node("Add", "n mean")]
    return behind_conv(*nodes, constants=NORM)


def grouped() -> onnx.ModelProto:
    conv = node("Conv", "NORMALIZED weight", pads=[1] * 4, group=3)
    return graph([conv], {"weight": weights(3, 1, 3, 3)}, shape=("N", 3, 8, 8))


def norm_of_groups() -> onnx.ModelProto:
    constants = {"g": np.ones(4, F32), "b": np.zeros(4, F32)}
    return behind_conv(
        node("GroupNormalization", "conv g b", num_groups=3), constants=constants, opset=21
    )


def one_picture() -> onnx.ModelProto:
    shape = {"s": np.array([1, 4, 8, 8], np.int64)}
    return behind_conv(node("Reshape", "conv s"), constants=shape)


def fp8() -> onnx.ModelProto:
    zero = helper.make_tensor("z", TensorProto.FLOAT8E4M3FN, (), [0.0])
    nodes = [node("QuantizeLinear", "NORMALIZED s z", "q"), node("DequantizeLinear", "q s z")]
    return graph(nodes, {"s": F32(0.05)}, opset=19, tensors=[zero])


def nonzero() -> onnx.ModelProto:
    return behind_conv(
        node("NonZero", "conv", "z"),
        node("Cast", "z", "c", to=TensorProto.FLOAT),
        node("ReduceMax", "c", "m", keepdims=0),
        node("Add", "conv m"),
    )


def same_names() -> onnx.ModelProto:
    model = behind_conv(node("Relu", "conv", "r"), node("Neg", "r"))
    for one in model.graph.node:
        one.name = "/Cast"
    return model


def broken_types() -> onnx.ModelProto:
    return behind_conv(
        node("ArgMax", "conv", "a", axis=1), node("Add", "a k", "b"),
        node("Cast", "b", to=TensorProto.FLOAT), constants={"k": np.int32(1)}, shape=("N", 1, 8, 8),
    )  # fmt: skip


def einsum(equation: str, *matrices: str) -> onnx.ModelProto:
    reads = " ".join(["conv", *matrices])
    constants = {name: weights(4, 4) for name in matrices}
    return behind_conv(node("Einsum", reads, equation=equation), constants=constants)
