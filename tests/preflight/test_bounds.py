"""Bounds held against what NVIDIA's compiler plans, and against what is worked out by hand."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from planted_faults import FAULTS
from planted_graphs import F16, F32, graph, in_loop, node, one_or_two, weights

KERNEL_BYTES = 4 * 4 * 4 * 3 * 3


def chain(kernels: dict[str, np.ndarray], names: list[str]) -> onnx.ModelProto:
    """Convolutions one behind the other, each with the kernel of its name."""
    tensors = ["NORMALIZED", *(f"t{index}" for index in range(len(names) - 1)), "SCORES"]
    convs = [
        node("Conv", f"{tensors[index]} {name}", tensors[index + 1], pads=[1] * 4)
        for index, name in enumerate(names)
    ]
    side = next(iter(kernels.values())).shape[0]
    shape = ("N", side, 8, 8)
    return graph(convs, kernels, read=shape, shape=shape)


def tied() -> onnx.ModelProto:
    return chain({"k": weights(64, 64, 3, 3) * F32(0.01)}, ["k"] * 20)


def equal() -> onnx.ModelProto:
    names = [f"k{index}" for index in range(20)]
    return chain({name: weights(64, 64, 3, 3) * F32(0.01) for name in names}, names)


def of_one_value() -> onnx.ModelProto:
    return chain({"k": np.full((64, 64, 3, 3), 0.5, F32)}, ["k"])


def attention(dtype: type = F16) -> onnx.ModelProto:
    """Of 1024 places and 4 heads, whose scores NVIDIA never writes down in float16."""
    heads, places, each = 4, 1024, 32
    wide = heads * each
    shapes = {"s0": [0, wide, places], "s1": [0, places, heads, each], "s2": [0, places, wide]}
    constants = {name: np.array(shape, np.int64) for name, shape in shapes.items()}
    constants |= {"s3": np.array([0, wide, 32, 32], np.int64), "scale": dtype(0.17)}
    to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        node("Cast", "NORMALIZED", "h", to=to),
        node("Reshape", "h s0", "r"),
        node("Transpose", "r", "x", perm=[0, 2, 1]),
    ]
    for index, name in enumerate("qkv"):
        constants[f"w{name}"] = (
            np.random.default_rng(index).normal(0, 0.1, (wide, wide)).astype(dtype)
        )
        perm = [0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]
        nodes += [
            node("MatMul", f"x w{name}", f"{name}0"),
            node("Reshape", f"{name}0 s1", f"{name}1"),
            node("Transpose", f"{name}1", name, perm=perm),
        ]
    nodes += [
        node("MatMul", "q k", "qk"),
        node("Mul", "qk scale", "scaled"),
        node("Softmax", "scaled", "share", axis=-1),
        node("MatMul", "share v", "o"),
        node("Transpose", "o", "o1", perm=[0, 2, 1, 3]),
        node("Reshape", "o1 s2", "o2"),
        node("Transpose", "o2", "o3", perm=[0, 2, 1]),
        node("Reshape", "o3 s3", "o4"),
        node("Cast", "o4", to=TensorProto.FLOAT),
    ]
    shape = (1, wide, 32, 32)
    return graph(nodes, constants, read=shape, shape=shape)


def folded() -> onnx.ModelProto:
    """A product of two constants, of which the engine has the small result alone."""
    return graph(
        [
            node("MatMul", "tall long", "w"),
            node("MatMul", "NORMALIZED w"),
            node("MatMul", "NORMALIZED unread", "nobody"),
        ],
        {"tall": weights(8, 4096), "long": weights(4096, 8), "unread": weights(8, 9000)},
    )


def eight_bits(number: type, zero_type: int) -> onnx.ModelProto:
    """A convolution between pairs of one type of 8 bits."""
    values = np.random.default_rng(0).normal(0, 1, (16, 16, 3, 3)).astype(number)
    tensors = [
        helper.make_tensor("q", zero_type, values.shape, values.tobytes(), raw=True),
        helper.make_tensor("z", zero_type, [], b"\0", raw=True),
    ]
    nodes = [
        node("QuantizeLinear", "NORMALIZED s z", "xq"),
        node("DequantizeLinear", "xq s z", "x"),
        node("DequantizeLinear", "q ws z", "w"),
        node("Conv", "x w", pads=[1] * 4),
    ]
    shape = ("N", 16, 8, 8)
    constants = {"s": F32(0.1), "ws": F32(0.05)}
    return graph(nodes, constants, tensors=tensors, opset=19, read=shape, shape=shape)


def bfloat16() -> onnx.ModelProto:
    raw = weights().astype(ml_dtypes.bfloat16).tobytes()
    kernel = helper.make_tensor("weight", TensorProto.BFLOAT16, [4, 4, 3, 3], raw, raw=True)
    nodes = [
        node("Cast", "NORMALIZED", "c", to=TensorProto.BFLOAT16),
        node("Conv", "c weight", "d", pads=[1] * 4),
        node("Cast", "d", to=TensorProto.FLOAT),
    ]
    return graph(nodes, tensors=[kernel], opset=22)


def in_a_function() -> onnx.ModelProto:
    conv = helper.make_node("Conv", ["x", "w"], ["y"], "inner", pads=[1] * 4)
    opsets = [helper.make_opsetid("", 17)]
    function = helper.make_function("local", "Block", ["x", "w"], ["y"], [conv], opsets)
    call = helper.make_node("Block", ["NORMALIZED", "weight"], ["SCORES"], "call", domain="local")
    model = graph([call], {"weight": weights()})
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("local", 1))
    return model


MADE = {
    "tied": tied,
    "equal": equal,
    "of one value": of_one_value,
    "attention": attention,
    "attention, fp32": lambda: attention(F32),
    "folded": folded,
    "int8": lambda: eight_bits(np.int8, TensorProto.INT8),
    "bf16": bfloat16,
    **{name: fault.make for name, fault in FAULTS.items()},
}


@pytest.mark.parametrize("name", MADE)
def test_no_bound_is_above_what_the_compiler_plans(ask, name: str) -> None:
    model = MADE[name]()
    found = ask(model, options=one_or_two(model))
    if found.bounds is None:
        return
    (answer,) = (verdict.answer for verdict in found.verdicts)
    assert found.bounds.weights_bytes <= answer.engine_bytes
    assert found.bounds.memory_bytes <= answer.engine_bytes + answer.activation_bytes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tied", 64 * 64 * 9 * 4),
        ("equal", 64 * 64 * 9 * 4),
        ("of one value", 0),
        ("attention", 3 * 128 * 128 * 2),
        ("folded", 0),
        ("int8", 16 * 16 * 9),
        ("bf16", KERNEL_BYTES // 2),
    ],
)
def test_constants_count_once_and_in_their_own_type(ask, name: str, expected: int) -> None:
    model = MADE[name]()
    assert ask(model, options=one_or_two(model)).bounds.weights_bytes == expected


@pytest.mark.parametrize(
    ("model", "gpu", "precision", "lacking"),
    [
        (eight_bits(ml_dtypes.float8_e4m3fn, TensorProto.FLOAT8E4M3FN), "sm_89", "fp8",
         {"T4", "A10", "A100"}),
        (eight_bits(np.int8, TensorProto.INT8), "sm_89", "int8", set()),
        (bfloat16(), "sm_86", "bf16", {"T4"}),
    ],
    ids=["fp8", "int8", "bf16"],
)  # fmt: skip
def test_a_type_is_one_in_file_network_and_engine(
    ask, model: onnx.ModelProto, gpu: str, precision: str, lacking: set[str]
) -> None:
    found = ask(model, (gpu,), options=one_or_two(model))
    assert found.accepted
    (layer,) = found.layers
    assert (layer.asked, layer.network, layer.engine) == (precision,) * 3
    assert set(found.bounds.lacking) == lacking
    assert not lacking & set(found.bounds.roofline_ms)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (in_loop(node("Conv", "x weight", "y", pads=[1] * 4)),
         {"in loops, branches and functions": 1}),
        (in_a_function(), {"in loops, branches and functions": 1}),
        (FAULTS["Einsum of two"].make(), {"Einsum": 1}),
        (tied(), {}),
    ],
    ids=["loop", "function", "einsum", "none"],
)  # fmt: skip
def test_what_is_not_counted_is_said(ask, model: onnx.ModelProto, expected: dict) -> None:
    found = ask(model, options=one_or_two(model))
    assert found.accepted
    assert found.uncounted == found.to_json()["uncounted"] == expected


def test_names_that_repeat_are_layers_apart(ask) -> None:
    nodes = [
        node("Conv", "NORMALIZED weight", "a", pads=[1] * 4),
        node("Cast", "a", "half", to=TensorProto.FLOAT16),
        node("Conv", "half kernel", "b", pads=[1] * 4),
        node("Cast", "b", to=TensorProto.FLOAT),
    ]
    model = graph(nodes, {"weight": weights(), "kernel": weights(dtype=F16)})
    for one in model.graph.node:
        one.name = "same"
    found = ask(model, options=one_or_two(model))
    assert found.accepted
    assert [layer.network for layer in found.layers] == ["fp32", "fp16"]


def test_names_are_any_text(ask) -> None:
    model = chain({"k": weights()}, ["k"] * 3)
    names = ["a]\x1e[ONNX Layer: q", "α β\"'\n", "x, LayerType: y, Inputs: [z]"]
    for one, name in zip(model.graph.node, names, strict=True):
        one.name = name
    found = ask(model, options=one_or_two(model))
    assert found.accepted
    assert [layer.network for layer in found.layers] == ["fp32"] * 3
    assert "fp32" in {layer.engine for layer in found.layers}
