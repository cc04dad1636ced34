"""Faults planted into small graphs: what this project says to each, and what NVIDIA's compiler.

    python tests/support/planted_faults.py > docs/_planted.md.part

writes the table of the page on preflight; every row of it is held by tests/preflight.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from planted_graphs import (
    CONV,
    F16,
    F32,
    alone,
    behind_conv,
    cast_through,
    graph,
    in_loop,
    node,
    paired,
    quantized,
    resized,
    weights,
    weights_int8,
)

ANEW = "export the float network and let `tritonseg build --precision int8` quantize it"
HALVES = {"kernel_shape": [2, 2], "strides": [2, 2]}
SAME = {"kernel_shape": [3, 3], "pads": [1] * 4}
PAIR = node("DequantizeLinear", "q scale zero")
NORM = {"g": np.ones(8, F32), "b": np.zeros(8, F32)}
ROI = [0, 0, 0.1, 0.1, 1, 1, 0.9, 0.9]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One graph and what is said to it.

    Attributes:
        make: The graph.
        ours: What this project refuses it with; "" where it does not.
        nvidia: What the compiler says; "" where it takes the graph without a word.
        warns: Whether the compiler takes the graph, with those words as a warning.
        cure: What a user reads behind NVIDIA's words; "" where there is no refusal.
    """

    make: Callable[[], onnx.ModelProto]
    ours: str = ""
    nvidia: str = ""
    warns: bool = False
    cure: str = ""


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


SAME_TYPE = "give both inputs one type"
SYMMETRIC = "TensorRT's int8 is symmetric"
BYTES = "put a Cast right behind the input"
RESIZED = "export the Resize with half_pixel or align_corners"
OTHER = "export the network with another one in its place"
FURTHER = "export the network without the further outputs"
NUMBERS = "use float32, int32 or int64"
SCALED = "scales are above 0"
CANNOT_RUN = "cannot be run"
CANNOT_LOAD = "cannot load the network"

FAULTS: dict[str, Fault] = {
    # Of section E: what NVIDIA sees.
    "float32 input, float16 weights": Fault(
        make=two_types, ours=CANNOT_LOAD, nvidia="must be of same type", cure=SAME_TYPE
    ),
    "MaxUnpool": Fault(
        make=unpool,
        ours="does not read MaxUnpool",
        nvidia="no importer for this operator",
        cure=FURTHER,
    ),
    "QLinearConv": Fault(
        make=integer_convolution,
        ours="does not read QLinearConv",
        nvidia="no importer for this operator",
        cure=OTHER,
    ),
    "MaxPool with indices": Fault(
        make=indices,
        ours="expected one output of MaxPool, got 2",
        nvidia="than 1 outputs",
        cure=FURTHER,
    ),
    "int8 zero point of 5": Fault(
        make=lambda: quantized(zero=np.int8(5)),
        ours="expected int8 zeros, got int8 up to 5",
        nvidia="Non-zero zero point is not supported",
        cure=SYMMETRIC,
    ),
    "uint8 zero point of 0": Fault(
        make=lambda: quantized(zero=np.uint8(0)),
        ours="expected int8 zeros, got uint8",
        nvidia="Defaulting to INT8 instead",
        warns=True,
        cure=SYMMETRIC,
    ),
    "int32 bias, dequantized": Fault(
        make=int32_bias,
        ours="expected to dequantize int8, got int32",
        nvidia="must have type FP8",
        cure="no int32 bias",
    ),
    "Resize with antialias": Fault(
        make=lambda: resized(18, mode="linear", antialias=1),
        ours="got antialias=1",
        nvidia="Antialiasing is not supported",
        cure="resize.antialias",
    ),
    "uint8 inside": Fault(
        make=lambda: cast_through(TensorProto.UINT8),
        ours="got uint8, which TensorRT does not",
        nvidia="does not support UINT8 types for intermediate",
        cure=BYTES,
    ),
    "BatchNormalization in training": Fault(
        make=lambda: training("BatchNormalization"),
        ours="is in training mode",
        nvidia="does not support training_mode",
        cure="model.eval()",
    ),
    # More that NVIDIA sees.
    "Dropout in training": Fault(
        make=lambda: training("Dropout"),
        ours="is in training mode",
        nvidia="Dropout operator in training mode",
        cure="model.eval()",
    ),
    "3 scales for 4 channels": Fault(
        make=lambda: quantized(
            weight_scale=np.full(3, 0.01, F32), weight_zero=np.zeros(3, np.int8)
        ),
        ours=r"expected 4 scales along axis 0|cannot be run",
        nvidia="number of scales is not equal",
        cure=SCALED,
    ),
    "negative scale": Fault(
        make=lambda: quantized(scale=F32(-0.05)),
        ours="finite scales above 0",
        nvidia="must all be positive",
        cure=SCALED,
    ),
    "scale of 0": Fault(
        make=lambda: quantized(scale=F32(0)),
        ours="finite scales above 0",
        nvidia="must all be positive",
        cure=SCALED,
    ),
    "scale that is NaN": Fault(
        make=lambda: quantized(scale=F32(np.nan)),
        ours="expected numbers, got NaN",
        nvidia="must all be positive",
        cure=SCALED,
    ),
    "DequantizeLinear of float": Fault(
        make=lambda: behind_conv(node("DequantizeLinear", "conv s"), constants={"s": F32(0.1)}),
        ours=CANNOT_LOAD,
        nvidia="input has type Float but must have type FP8",
        cure="dequantizes int8",
    ),
    "float16 scale of the input, float32 of the weights": Fault(
        make=lambda: quantized(scale=F16(0.05), opset=19),
        ours=CANNOT_LOAD,
        nvidia="must be of same type",
        cure=SAME_TYPE,
    ),
    "int16 zero point": Fault(
        make=lambda: quantized(zero=np.int16(0), opset=21),
        ours="expected int8 zeros, got int16",
        nvidia="Failed to import initializer: zero",
        cure=NUMBERS,
    ),
    "fp8 for a GPU without it": Fault(
        make=fp8,
        ours="expected int8 zeros, got float8",
        nvidia="HW-specific datatypes",
        cure="this GPU lacks the type",
    ),
    "Add of float16 and float32": Fault(
        make=lambda: float_half("Add"),
        ours=CANNOT_LOAD,
        nvidia="must have same input types",
        cure=SAME_TYPE,
    ),
    "Concat of float16 and float32": Fault(
        make=lambda: float_half("Concat", axis=1),
        ours=CANNOT_LOAD,
        nvidia="of the same type",
        cure=SAME_TYPE,
    ),
    "Add of int64 and int32": Fault(
        make=broken_types, ours=CANNOT_LOAD, nvidia="must have same input types", cure=SAME_TYPE
    ),
    "Resize half_pixel_symmetric": Fault(
        make=lambda: resized(
            19, mode="linear", coordinate_transformation_mode="half_pixel_symmetric"
        ),
        ours="got half_pixel_symmetric",
        nvidia="transformation modes",
        cure=RESIZED,
    ),
    "Resize tf_crop_and_resize": Fault(
        make=lambda: resized(
            mode="linear", roi=ROI, coordinate_transformation_mode="tf_crop_and_resize"
        ),
        ours="got tf_crop_and_resize",
        nvidia="transformation modes",
        cure=RESIZED,
    ),
    "Resize that keeps the aspect ratio": Fault(
        make=to_sizes,
        ours="got keep_aspect_ratio_policy not_larger",
        nvidia="Only `stretch` is supported",
        cure=RESIZED,
    ),
    "Resize, cubic, of channels too": Fault(
        make=lambda: resized(mode="cubic", scales=(1, 2, 2, 2)),
        ours="got of channels too|cannot be run",
        nvidia="only supports cubic resizing",
        cure=RESIZED,
    ),
    "ScatterND that adds": Fault(
        make=lambda: scatter("ScatterND"),
        ours="expected ScatterND to replace, got reduction add",
        nvidia="with reduction is not supported",
        cure="scatter_add",
    ),
    "ScatterElements that adds": Fault(
        make=lambda: scatter("ScatterElements"),
        ours="expected ScatterElements to replace",
        nvidia="Unsupported reduction type",
        cure="scatter_add",
    ),
    "MaxPool with dilation": Fault(
        make=lambda: alone("MaxPool", kernel_shape=[3, 3], dilations=[2, 2], shape=("N", 4, 4, 4)),
        ours=r"expected dilations of 1 of MaxPool, got \[2, 2\]",
        nvidia="dilations other than 1",
        cure="without dilation",
    ),
    "AveragePool with dilation": Fault(
        make=lambda: alone(
            "AveragePool", kernel_shape=[3, 3], dilations=[2, 2], opset=19, shape=("N", 4, 4, 4)
        ),
        ours=r"expected dilations of 1 of AveragePool",
        nvidia="dilations other than 1",
        cure="without dilation",
    ),
    "LayerNormalization with its mean": Fault(
        make=statistics,
        ours="expected one output of LayerNormalization, got 2",
        nvidia="than 1 outputs",
        cure=FURTHER,
    ),
    "uint8 input that a Transpose reads": Fault(
        make=bytes_in,
        ours="expected a Cast right behind the uint8 input, got Transpose",
        nvidia="first input has type UInt8",
        cure=BYTES,
    ),
    "uint8 constant": Fault(
        make=bytes_of_a_constant,
        ours="got uint8, which TensorRT does not",
        nvidia="UINT8 data k is being converted to INT32",
        warns=True,
        cure=BYTES,
    ),
    "int16 constant": Fault(
        make=int16_constant,
        ours="got int16, which TensorRT does not",
        nvidia="Failed to import initializer: k",
        cure=NUMBERS,
    ),
    "Cast to int16": Fault(
        make=lambda: cast_through(TensorProto.INT16),
        ours="got int16, which TensorRT does not",
        nvidia="Unsupported data type for the Cast",
        cure=NUMBERS,
    ),
    "Cast to uint32": Fault(
        make=lambda: cast_through(TensorProto.UINT32),
        ours="got uint32, which TensorRT does not",
        nvidia="Unsupported data type for the Cast",
        cure=NUMBERS,
    ),
    "float64, times a number": Fault(
        make=double_scalar,
        ours="got double, which TensorRT computes in float32",
        nvidia="MyelinCheckException",
        cure="without float64",
    ),
    "3 groups of 4 channels": Fault(
        make=grouped,
        ours=CANNOT_RUN,
        nvidia="failed to broadcast to input",
        cure="other numbers of channels",
    ),
    "weights for 3 of 4 channels": Fault(
        make=lambda: graph([CONV], {"weight": weights(4, 3, 3, 3)}),
        ours=CANNOT_RUN,
        nvidia="failed to broadcast to input",
        cure="other numbers of channels",
    ),
    "GroupNormalization, 3 groups of 4": Fault(
        make=norm_of_groups,
        ours=CANNOT_RUN,
        nvidia="group count must divide",
        cure="other numbers of channels",
    ),
    "MaxUnpool's kin in a loop: Det": Fault(
        make=lambda: in_loop(
            node("Det", "x", "d"), node("ReduceMax", "d", "e", keepdims=0), node("Add", "x e", "y")
        ),
        ours="does not read Det",
        nvidia="no importer for this operator",
        cure=OTHER,
    ),
    "Reshape that fixes a batch of 1": Fault(
        make=one_picture,
        ours=CANNOT_RUN,
        nvidia="not self-consistent",
        warns=True,
        cure="fixed at another batch or size",
    ),
    "NonZero": Fault(
        make=nonzero, nvidia="was not found in plugin registry", cure="build on the GPU"
    ),
    # What NVIDIA does not see.
    "float64, no arithmetic": Fault(
        make=lambda: cast_through(TensorProto.DOUBLE, node("Sqrt", "there", "back")),
        ours="got double, which TensorRT computes in float32",
    ),
    "weights in int8, input in float": Fault(
        make=weights_int8, ours="int8 weights, but a float input"
    ),
    "input in int8, weights in float": Fault(
        make=lambda: behind_conv(
            node("QuantizeLinear", "conv s z", "q"),
            node("DequantizeLinear", "q s z", "d"),
            node("Conv", "d weight", pads=[1] * 4),
            constants={"s": F32(0.05), "z": np.int8(0)},
        ),
        ours="expected int8 input and weights",
    ),
    "NaN among the weights": Fault(
        make=lambda: graph([CONV], {"weight": np.full((4, 4, 3, 3), np.nan, F32)}),
        ours="expected numbers, got NaN at 144 of 144",
    ),
    "infinite weights": Fault(
        make=lambda: graph([CONV], {"weight": np.full((4, 4, 3, 3), np.inf, F32)}),
        ours="not all finite",
    ),
    "infinite scale": Fault(
        make=lambda: quantized(scale=F32(np.inf)), ours="finite scales above 0"
    ),
    "scale that a picture decides": Fault(
        make=lambda: behind_conv(
            node("ReduceMax", "conv", "s", keepdims=0),
            node("QuantizeLinear", "conv s z", "q"),
            node("DequantizeLinear", "q s z"),
            constants={"z": np.int8(0)},
        ),
        ours="expected constant, finite scales above 0",
    ),
    "scales of weights along axis 1": Fault(
        make=lambda: quantized(axis=1), ours="expected one weight scale per output channel, axis 0"
    ),
    "uint8 by default: no zero point": Fault(
        make=lambda: behind_conv(
            node("QuantizeLinear", "conv s", "q"),
            node("DequantizeLinear", "q s"),
            constants={"s": F32(0.1)},
        ),
        ours="expected a constant int8 zero point",
    ),
    "rows beyond the end of a table": Fault(
        make=lambda: behind_conv(
            node("Gather", "conv i", axis=1), constants={"i": np.array([9, 0, 1, 2], np.int64)}
        ),
        ours=CANNOT_RUN,
    ),
    "an opset that no release lists": Fault(
        make=lambda: alone("Relu", opset=26), ours="reads opset 9 to 25, got 26"
    ),
    "random numbers": Fault(
        make=lambda: behind_conv(node("RandomNormalLike", "conv", "r"), node("Add", "conv r")),
        ours="gives random numbers",
    ),
    # No faults.
    "MaxPool whose indices nobody reads": Fault(
        make=lambda: graph([node("MaxPool", "NORMALIZED", "SCORES i", **SAME)]),
        ours="expected one output of MaxPool",
        nvidia="than 1 outputs",
        cure=FURTHER,
    ),
    "names that repeat": Fault(
        make=same_names, ours="two nodes with same node name", nvidia="already exists", warns=True
    ),
    "Einsum of two": Fault(make=lambda: einsum("nchw,cd->ndhw", "k")),
    "Einsum of three": Fault(make=lambda: einsum("nchw,cd,de->nehw", "k", "l")),
    "Resize cubic": Fault(make=lambda: resized(mode="cubic")),
    "Resize cubic, exclude_outside": Fault(make=lambda: resized(mode="cubic", exclude_outside=1)),
    "Resize nearest, ceil": Fault(
        make=lambda: resized(
            mode="nearest", nearest_mode="ceil", coordinate_transformation_mode="asymmetric"
        )
    ),
    "Gelu of ONNX": Fault(make=lambda: alone("Gelu", opset=20)),
    "Mish": Fault(make=lambda: alone("Mish", opset=18)),
    "Hardmax": Fault(make=lambda: alone("Hardmax", axis=1)),
    "Swish": Fault(make=lambda: alone("Swish", opset=24)),
    "a loop": Fault(make=lambda: in_loop(node("Relu", "x", "y"))),
    "MaxPool between pairs": Fault(
        make=lambda: paired(
            node("DequantizeLinear", "q scale zero", "d"), node("MaxPool", "d", **SAME)
        ),
        ours="expected int8 input and weights",
    ),
}
"""By what is planted."""


def cell(words: str) -> str:
    """Return words as a cell of a table: of several ways to say it the first."""
    return words.split("|")[0].replace("\\", "")


def main() -> None:
    """Write the table."""
    rows = ["| planted | this project says | NVIDIA's compiler says |", "|---|---|---|"]
    for name, fault in FAULTS.items():
        how = "a warning: " if fault.warns else "refused: "
        nvidia = how + cell(fault.nvidia) if fault.nvidia else "taken"
        ours = f"refused: {cell(fault.ours)}" if fault.ours else "taken"
        rows.append(f"| {name} | {ours} | {nvidia} |")
    sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
