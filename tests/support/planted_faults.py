"""Faults planted into small graphs: what this project says to each, and what NVIDIA's compiler.

    python tests/support/planted_faults.py > docs/_planted.md.part

writes the table of the page on preflight; every row of it is held by tests/preflight.
"""

from __future__ import annotations

import sys

import numpy as np
from onnx import TensorProto

from planted_fault import CANNOT_LOAD, CANNOT_RUN, FURTHER, Fault
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
    quantized,
    resized,
    weights,
)
from planted_makers import (
    ROI,
    broken_types,
    bytes_in,
    bytes_of_a_constant,
    double_scalar,
    float_half,
    fp8,
    grouped,
    indices,
    int16_constant,
    int32_bias,
    integer_convolution,
    nonzero,
    norm_of_groups,
    one_picture,
    scatter,
    statistics,
    to_sizes,
    training,
    two_types,
    unpool,
)
from planted_operators import OPERATORS
from planted_unseen import UNSEEN

SAME_TYPE = "give both inputs one type"
SYMMETRIC = "TensorRT's int8 is symmetric"
BYTES = "put a Cast right behind the input"
RESIZED = "export the Resize with half_pixel or align_corners"
OTHER = "export the network with another one in its place"
NUMBERS = "use float32, int32 or int64"
SCALED = "scales are above 0"

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
    **OPERATORS,
    **UNSEEN,
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
