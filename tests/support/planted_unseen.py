"""Faults that NVIDIA's compiler takes, and graphs that have none."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from planted_fault import CANNOT_RUN, FURTHER, Fault
from planted_graphs import (
    CONV,
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
    weights_int8,
)
from planted_makers import SAME, einsum, of_axes, same_names

UNSEEN: dict[str, Fault] = {
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
    "Resize, cubic, of channels by name": Fault(
        make=lambda: of_axes([1], [2], ("N", 8, 8, 8)), ours="got of channels too|cannot be run"
    ),
    # No faults.
    "MaxPool whose indices nobody reads": Fault(
        make=lambda: graph([node("MaxPool", "NORMALIZED", "SCORES i", **SAME)]),
        ours="expected one output of MaxPool",
        nvidia="than 1 outputs",
        cure=FURTHER,
    ),
    "names that repeat": Fault(make=same_names, ours="two nodes with same node name"),
    "Einsum of two": Fault(make=lambda: einsum("nchw,cd->ndhw", "k")),
    "Einsum of three": Fault(make=lambda: einsum("nchw,cd,de->nehw", "k", "l")),
    "Resize cubic": Fault(make=lambda: resized(mode="cubic")),
    "Resize cubic, exclude_outside": Fault(make=lambda: resized(mode="cubic", exclude_outside=1)),
    "Resize cubic, of named axes": Fault(
        make=lambda: of_axes([3, 2, 1], [2, 2, 1], ("N", 4, 16, 16))
    ),
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
