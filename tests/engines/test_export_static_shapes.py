"""Known sizes written into graphs: the result must be the same, computed by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tritonseg_engines.graph.constants import gather_constants
from tritonseg_engines.graph.static_shapes import exact_scale, write_static_shapes
from tritonseg_engines.graph.surgery import as_proto, editable


def model_of(
    nodes: list[onnx.NodeProto],
    input_shape: list[int | str],
    constants: dict[str, np.ndarray[Any, Any]],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    y: np.ndarray[Any, Any] = session.run(None, {"x": x})[0]
    return y


def edit(model: onnx.ModelProto, change: Callable[[ir.Model], None]) -> None:
    edited = editable(model)
    change(edited)
    model.CopyFrom(as_proto(edited))


def check_unchanged(model: onnx.ModelProto, *shape: int) -> None:
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    before = run(model, x)
    edit(model, write_static_shapes)
    np.testing.assert_allclose(run(model, x), before, atol=1e-5)


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def same_conv(**attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", **attributes)


@pytest.mark.parametrize("height", range(4, 12))
@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [2, 2], "kernel_shape": [3, 3]},
        {"strides": [3, 2], "kernel_shape": [3, 3]},
        {"kernel_shape": [3, 3]},
    ],
)
def test_same_upper_becomes_pads(height: int, attributes: dict[str, Any]) -> None:
    weight = np.random.default_rng(1).standard_normal((2, 3, 3, 3), np.float32)
    model = model_of([same_conv(**attributes)], ["N", 3, height, 7], {"w": weight})
    check_unchanged(model, 2, 3, height, 7)
    (conv,) = model.graph.node
    names = [attribute.name for attribute in conv.attribute]
    assert "pads" in names
    assert "auto_pad" not in names


@pytest.mark.parametrize(
    ("height", "attributes"), [("H", {"kernel_shape": [3, 3]}), (7, {})], ids=["input", "window"]
)
def test_same_upper_stays_where_a_size_is_unknown(
    height: int | str, attributes: dict[str, Any]
) -> None:
    weight = np.ones((2, 3, 3, 3), np.float32)
    model = model_of([same_conv(strides=[2, 2], **attributes)], ["N", 3, height, 8], {"w": weight})
    check_unchanged(model, 2, 3, 7, 8)
    assert "auto_pad" in [attribute.name for attribute in model.graph.node[0].attribute]


def upsampling_nodes(mode: str) -> list[onnx.NodeProto]:
    """To twice the height plus one and the width plus four, computed as exporters do."""
    return [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "two"], ["batch_and_channels"]),
        helper.make_node("Concat", ["batch_and_channels", "target"], ["sizes"], axis=0),
        helper.make_node(
            "Resize",
            ["x", "", "", "sizes"],
            ["y"],
            mode="linear",
            coordinate_transformation_mode=mode,
        ),
    ]


SLICE_BOUNDS = {"zero": np.array([0]), "two": np.array([2])}


@pytest.mark.parametrize("mode", ["half_pixel", "align_corners"])
@pytest.mark.parametrize("size_hw", [(5, 6), (7, 9), (13, 3)])
def test_resize_reads_scales(mode: str, size_hw: tuple[int, int]) -> None:
    target = np.array([2 * size_hw[0] + 1, size_hw[1] + 4])
    model = model_of(upsampling_nodes(mode), ["N", 2, *size_hw], {"target": target, **SLICE_BOUNDS})
    check_unchanged(model, 3, 2, *size_hw)
    assert operators(model) == ["Resize"]


@pytest.mark.parametrize("source", [1, 3, 7, 49, 113, 997])
def test_scales_lose_no_pixel(source: int) -> None:
    for target in range(1, 2100):
        assert int(np.floor(np.float32(source) * exact_scale(source, target))) == target


def flatten_nodes() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "two"], ["kept"]),
        helper.make_node("Concat", ["kept", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]


def test_reshape_reads_a_constant_that_keeps_the_batch_open() -> None:
    model = model_of(flatten_nodes(), ["N", 2, 4, 5], {"rest": np.array([-1]), **SLICE_BOUNDS})
    check_unchanged(model, 3, 2, 4, 5)
    assert operators(model) == ["Reshape"]
    assert run(model, np.zeros((7, 2, 4, 5), np.float32)).shape == (7, 2, 20)


def test_reshape_stays_where_two_sizes_are_unknown() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "order"], ["target"]),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    model = model_of(nodes, ["N", "M"], {"order": np.array([1, 0])})
    check_unchanged(model, 2, 3)
    assert run(model, np.zeros((4, 5), np.float32)).shape == (5, 4)


def test_constants_and_shared_weights_become_initializers() -> None:
    value = onnx.numpy_helper.from_array(np.array([2, 3], np.float32), "ignored")
    nodes = [
        helper.make_node("Constant", [], ["two_three"], value=value),
        helper.make_node("Identity", ["bias"], ["same_bias"]),
        helper.make_node("Identity", ["same_bias"], ["still_the_same"]),
        helper.make_node("Mul", ["x", "two_three"], ["scaled"]),
        helper.make_node("Add", ["scaled", "still_the_same"], ["sum"]),
        helper.make_node("Identity", ["sum"], ["y"]),
    ]
    model = model_of(nodes, ["N", 2], {"bias": np.array([10, 20], np.float32)})
    edit(model, gather_constants)
    assert operators(model) == ["Mul", "Add"]
    assert {entry.name for entry in model.graph.initializer} == {"two_three", "bias"}
    np.testing.assert_array_equal(run(model, np.ones((1, 2), np.float32)), [[12, 23]])
