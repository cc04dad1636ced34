"""Faults of operators that TensorRT has, but not for these types and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from planted_fault import Fault
from planted_graphs import F32, behind_conv, graph, node, weights

CAST = "put a Cast to float32 before the operator"
WITHIN = "export the network within these"
EYE = np.eye(8)


def of_integers(
    dtype: int, op_type: str, constant: Any = None, **attributes: Any
) -> onnx.ModelProto:
    """A convolution, and an operator behind it between casts to whole numbers and back."""
    last = "" if constant is None else " k"
    numbers = onnx.helper.tensor_dtype_to_np_dtype(dtype)
    constants = {} if constant is None else {"k": np.asarray(constant).astype(numbers)}
    return behind_conv(
        node("Cast", "conv", "c", to=dtype),
        node(op_type, f"c{last}", "d", **attributes),
        node("Cast", "d", "e", to=TensorProto.FLOAT),
        node("Mul", "conv e"),
        constants=constants,
    )


def refused_integers(dtype: int, op_type: str, nvidia: str, *more: Any, **attributes: Any) -> Fault:
    name = "int32" if dtype == TensorProto.INT32 else "int64"
    return Fault(
        make=lambda: of_integers(dtype, op_type, *more, **attributes),
        ours=f"expected {op_type} of floats, got of {name}",
        nvidia=nvidia,
        cure=CAST,
    )


def enlarged_mask() -> onnx.ModelProto:
    return behind_conv(
        node("ArgMax", "conv", "a", axis=1),
        node("Cast", "a", "b", to=TensorProto.INT32),
        node("Resize", "b _ s", "r"),
        node("Cast", "r", to=TensorProto.FLOAT),
        constants={"s": np.array([1, 1, 2, 2], F32)},
        shape=("N", 1, 16, 16),
    )


def sizes_of_axes() -> onnx.ModelProto:
    return behind_conv(
        node("Resize", "conv _ _ s", axes=[3, 2], mode="linear"),
        constants={"s": np.array([16, 12], np.int64)},
        opset=18,
        shape=("N", 4, 12, 16),
    )


def most_of_many() -> onnx.ModelProto:
    return graph(
        [
            node("Conv", "NORMALIZED w", "c"),
            node("Reshape", "c flat", "r"),
            node("TopK", "r k", "v i"),
            node("Reshape", "v back"),
        ],
        {
            "w": weights(4, 4, 1, 1),
            "flat": np.array([0, 4, -1], np.int64),
            "k": np.array([4000], np.int64),
            "back": np.array([0, 4, 40, 100], np.int64),
        },
        read=("N", 4, 64, 64),
        shape=("N", 4, 40, 100),
    )


def regions() -> onnx.ModelProto:
    return behind_conv(
        node("RoiAlign", "conv r i", output_height=4, output_width=4),
        constants={"r": np.array([[0, 0, 4, 4]], F32), "i": np.array([0], np.int64)},
        shape=(1, 4, 4, 4),
    )


INT32, INT64 = int(TensorProto.INT32), int(TensorProto.INT64)
WHOLE = r"unsupported input type of INT"

OPERATORS: dict[str, Fault] = {
    "Resize of an int32 mask": Fault(
        make=enlarged_mask,
        ours="expected Resize of floats, got of int32",
        nvidia="first input has type Int32 but must have type Float",
        cure=CAST,
    ),
    "Resize to sizes of some axes": Fault(
        make=sizes_of_axes,
        ours=r"expected sizes of all axes, got those of \[3, 2\]",
        nvidia="inherently negative length",
        cure="with sizes of all axes",
    ),
    "LRN over 17 channels": Fault(
        make=lambda: behind_conv(node("LRN", "conv", size=17)),
        ours="expected LRN with an odd size up to 15, got 17",
        nvidia="windowSize <= kLRN_MAX_WINDOW",
        cure=WITHIN,
    ),
    "LpPool with p of 3": Fault(
        make=lambda: behind_conv(
            node("LpPool", "conv", kernel_shape=[2, 2], p=3), shape=("N", 4, 7, 7)
        ),
        ours="expected LpPool with p of 1 or 2, got 3",
        nvidia="Only L1 and L2 normalization are supported",
        cure=WITHIN,
    ),
    "TopK of 4000": Fault(
        make=most_of_many,
        ours="expected TopK with k up to 3840, got 4000",
        nvidia="K exceeds the maximum value allowed",
        cure=WITHIN,
    ),
    "MatMul of int32": refused_integers(INT32, "MatMul", WHOLE, EYE),
    "MatMul of int64": refused_integers(INT64, "MatMul", WHOLE, EYE),
    "Einsum of int64": refused_integers(INT64, "Einsum", WHOLE, EYE, equation="nchw,wv->nchv"),
    "PRelu of int32": refused_integers(INT32, "PRelu", WHOLE, 2),
    "PRelu of int64": refused_integers(INT64, "PRelu", WHOLE, 2),
    "Relu of int32": refused_integers(INT32, "Relu", WHOLE),
    "ReduceL2 of int32": refused_integers(INT32, "ReduceL2", "input data type INT32", axes=[1]),
    "ReduceL2 of int64": refused_integers(INT64, "ReduceL2", "input data type INT64", axes=[1]),
    "ReduceLogSum of int32": refused_integers(
        INT32, "ReduceLogSum", "input data type INT32", axes=[1]
    ),
    "ReduceLogSumExp of int64": refused_integers(INT64, "ReduceLogSumExp", WHOLE, axes=[1]),
    # TensorRT's alone.
    "RoiAlign": Fault(
        make=regions, nvidia="was not found in the plugin registry", cure="build on the GPU"
    ),
}
