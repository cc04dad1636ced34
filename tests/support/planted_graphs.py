"""Small graphs with one fault each, or with what might be taken for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tritonseg_engines.tensorrt.options import BatchRange, PlanOptions

F32, F16 = np.float32, np.float16


def node(op_type: str, reads: str, writes: str = "SCORES", **attributes: Any) -> NodeProto:
    """A node, named by what it writes and its operator; `_` stands for an input left out."""
    inputs = ["" if name == "_" else name for name in reads.split()]
    outputs = writes.split()
    return helper.make_node(op_type, inputs, outputs, f"/{outputs[0]}/{op_type}", **attributes)


def graph(
    nodes: Sequence[NodeProto],
    constants: Mapping[str, ArrayLike] | None = None,
    *,
    opset: int = 17,
    shape: Sequence[int | str] = ("N", 4, 8, 8),
    read: Sequence[int | str] = ("N", 4, 8, 8),
    dtype: int = TensorProto.FLOAT,
    reads_dtype: int = TensorProto.FLOAT,
    tensors: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """A model of the nodes, from NORMALIZED to SCORES."""
    made = helper.make_graph(
        list(nodes),
        "planted",
        [helper.make_tensor_value_info("NORMALIZED", reads_dtype, read)],
        [helper.make_tensor_value_info("SCORES", dtype, shape)],
        [
            *(numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()),
            *tensors,
        ],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(made, opset_imports=opsets, ir_version=9)


def weights(*shape: int, dtype: type = F32) -> np.ndarray:
    """Reproducible weights."""
    return np.random.default_rng(0).normal(0, 0.3, shape or (4, 4, 3, 3)).astype(dtype)


CONV = node("Conv", "NORMALIZED weight", pads=[1] * 4)
"""From NORMALIZED to SCORES, of the usual weights as wide as high."""


def alone(op_type: str, **attributes: Any) -> onnx.ModelProto:
    """A convolution, and an operator that takes no constant behind it."""
    opset = attributes.pop("opset", 17)
    shape = attributes.pop("shape", ("N", 4, 8, 8))
    return behind_conv(node(op_type, "conv", **attributes), opset=opset, shape=shape)


def behind_conv(*nodes: NodeProto, opset: int = 17, **rest: Any) -> onnx.ModelProto:
    """A convolution to `conv`, and the nodes behind it."""
    constants = {"weight": weights(), **rest.pop("constants", {})}
    conv = node("Conv", "NORMALIZED weight", "conv", pads=[1] * 4)
    return graph([conv, *nodes], constants, opset=opset, **rest)


def quantized(**changes: Any) -> onnx.ModelProto:
    """A convolution between Q/DQ pairs, input and weights; any of its constants changed."""
    constants: dict[str, Any] = {
        "weight_q": np.random.default_rng(0).integers(-127, 128, (4, 4, 3, 3)).astype(np.int8),
        "weight_scale": np.full(4, 0.01, F32),
        "weight_zero": np.zeros(4, np.int8),
        "scale": F32(0.05),
        "zero": np.int8(0),
    }
    axis = changes.pop("axis", 0)
    opset = changes.pop("opset", 17)
    constants.update(changes)
    nodes = [
        node("QuantizeLinear", "NORMALIZED scale zero", "q"),
        node("DequantizeLinear", "q scale zero", "dq"),
        node("DequantizeLinear", "weight_q weight_scale weight_zero", "w", axis=axis),
        node("Conv", "dq w", pads=[1] * 4),
    ]
    return graph(nodes, constants, opset=opset)


def resized(
    opset: int = 17, scales: Sequence[float] = (1, 1, 2, 2), **attributes: Any
) -> onnx.ModelProto:
    """A convolution, and a Resize behind it."""
    channels, *sides = (int(4 * scales[1]), int(8 * scales[2]), int(8 * scales[3]))
    reads = "conv roi scales" if "roi" in attributes else "conv _ scales"
    constants = {"scales": np.array(scales, F32)}
    if "roi" in attributes:
        constants["roi"] = np.array(attributes.pop("roi"), F32)
    resize = node("Resize", reads, **attributes)
    return behind_conv(resize, constants=constants, opset=opset, shape=("N", channels, *sides))


def cast_through(dtype: int, *nodes: NodeProto) -> onnx.ModelProto:
    """A convolution, and a Cast there and back, with the nodes between `there` and `back`."""
    back = "back" if nodes else "there"
    return behind_conv(
        node("Cast", "conv", "there", to=dtype), *nodes, node("Cast", back, to=TensorProto.FLOAT)
    )


def paired(*nodes: NodeProto, **constants: Any) -> onnx.ModelProto:
    """A convolution behind which its result is quantized into `q`, and the nodes behind that."""
    quantize = node("QuantizeLinear", "conv scale zero", "q")
    return behind_conv(
        quantize, *nodes, constants={"scale": F32(0.1), "zero": np.int8(0), **constants}
    )


def in_loop(*nodes: NodeProto) -> onnx.ModelProto:
    """A convolution behind which a loop takes the nodes, from `x` to `y`, three times."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [*nodes, node("Identity", "goes_on", "still")],
        "body",
        [
            info("step", TensorProto.INT64, []),
            info("goes_on", TensorProto.BOOL, []),
            info("x", TensorProto.FLOAT, ["N", 4, 8, 8]),
        ],
        [info("still", TensorProto.BOOL, []), info("y", TensorProto.FLOAT, ["N", 4, 8, 8])],
    )
    return behind_conv(
        node("Loop", "trips yes conv", body=body),
        constants={"trips": np.int64(3), "yes": np.bool_(True)},
    )


def weights_int8(**changes: Any) -> onnx.ModelProto:
    """A convolution of a float input with quantized weights."""
    constants = {"q": np.ones((4, 4, 3, 3), np.int8), "s": np.full(4, 0.1, F32)}
    constants |= {"z": np.zeros(4, np.int8), **changes}
    pair = node("DequantizeLinear", "q s z", "w", axis=0)
    return graph([pair, node("Conv", "NORMALIZED w", pads=[1] * 4)], constants)


def one_or_two(model: onnx.ModelProto) -> PlanOptions:
    """One picture or two at once, or as many as the model is for."""
    fixed = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    return PlanOptions(batch=BatchRange(minimum=1, optimum=1, maximum=fixed or 2))
