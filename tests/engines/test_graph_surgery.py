"""Attributes are read by name, constants in every form, and no two nodes share a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tiny_models import RESIZE, TinyModel, run_onnx
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.constants import gather_constants
from tritonseg_engines.graph.finite_weights import check_weights
from tritonseg_engines.graph.half_weights import expand_half_weights
from tritonseg_engines.graph.nodes import name_nodes
from tritonseg_engines.graph.surgery import as_proto, editable
from tritonseg_engines.graph.tail import cut_tail, recognise_tail
from tritonseg_engines.precision.half import half_precision
from tritonseg_engines.precision.int8_cpu import needed_int8_cpu
from tritonseg_engines.precision.lint import lint
from tritonseg_engines.running.rounding import with_written_rounding
from tritonseg_steps.int8_cpu import Int8Cpu

TENSOR = numpy_helper.from_array(np.array([1, 2], np.float32))
CONSTANTS: dict[str, tuple[dict[str, Any], np.ndarray]] = {
    "value": ({"value": TENSOR}, np.array([1, 2], np.float32)),
    "value_float": ({"value_float": 1.5}, np.array(1.5, np.float32)),
    "value_floats": ({"value_floats": [1.5, 2.5]}, np.array([1.5, 2.5], np.float32)),
    "value_int": ({"value_int": 3}, np.array(3, np.int64)),
    "value_ints": ({"value_ints": [3, 4]}, np.array([3, 4], np.int64)),
}


def model_of(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray] | None = None
) -> onnx.ModelProto:
    """From `x` to `y`, both `(N, 2)` float32."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def cast(source: str, target: str, *, to: int, saturate: int) -> onnx.NodeProto:
    """With `saturate` in front of `to`, as exporters that sort by name write it."""
    node = helper.make_node("Cast", [source], [target], name=target)
    attributes = {"saturate": saturate, "to": to}
    node.attribute.extend(helper.make_attribute(*entry) for entry in attributes.items())
    return node


def edited(model: onnx.ModelProto, change: Callable[..., None]) -> onnx.ModelProto:
    form = editable(model)
    change(form)
    return as_proto(form)


@pytest.mark.parametrize(("to", "saturate"), [(TensorProto.DOUBLE, 1), (TensorProto.FLOAT, 0)])
def test_cast_weights_get_the_type_of_to(to: int, saturate: int) -> None:
    nodes = [
        cast("half", "w", to=to, saturate=saturate),
        helper.make_node("Mul", ["x", "w"], ["y"]),
    ]
    model = model_of(nodes, {"half": np.array([1, 2], np.float16)})
    expanded = edited(model, expand_half_weights)
    assert [node.op_type for node in expanded.graph.node] == ["Mul"]
    assert [v.data_type for v in expanded.graph.initializer if v.name == "w"] == [to]


def test_a_cast_to_integers_is_not_taken_for_one_back_to_fp32() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], name="there", to=TensorProto.FLOAT16),
        cast("half", "whole", to=TensorProto.INT32, saturate=1),
        helper.make_node("Abs", ["whole"], ["positive"], name="abs"),
        cast("positive", "y", to=TensorProto.FLOAT, saturate=1),
    ]
    half = half_precision(model_of(nodes), ["there", "abs"])
    x = np.array([[1.75, 2.25]], np.float32)
    np.testing.assert_array_equal(run_onnx(half, x), [[1, 2]])


def test_casts_there_and_back_are_joined_whatever_stands_first() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        cast("a", "half", to=TensorProto.FLOAT16, saturate=1),
        cast("half", "back", to=TensorProto.FLOAT, saturate=1),
        helper.make_node("Relu", ["back"], ["y"], name="second"),
    ]
    half = half_precision(model_of(nodes), [node.name for node in nodes])
    x = np.array([[1e5, 2.0]], np.float32)
    np.testing.assert_array_equal(run_onnx(half, x), x)


def test_written_rounding_changes_the_type_and_nothing_else_of_a_cast() -> None:
    nodes = [
        cast("x", "half", to=TensorProto.FLOAT16, saturate=1),
        cast("half", "y", to=TensorProto.FLOAT, saturate=1),
    ]
    rounded = with_written_rounding(model_of(nodes))
    first = rounded.graph.node[0]
    assert helper.get_node_attr_value(first, "to") == TensorProto.FLOAT
    assert helper.get_node_attr_value(first, "saturate") == 1
    x = np.array([[1.0001, 2.0]], np.float32)
    np.testing.assert_array_equal(run_onnx(rounded, x), x.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(("attributes", "expected"), CONSTANTS.values(), ids=CONSTANTS)
def test_constants_of_every_form_become_initializers(
    attributes: dict[str, Any], expected: np.ndarray
) -> None:
    nodes = [
        helper.make_node("Constant", [], ["c"], **attributes),
        helper.make_node("Cast", ["c"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "f"], ["y"]),
    ]
    gathered = edited(model_of(nodes), gather_constants)
    (constant,) = gathered.graph.initializer
    assert constant.name == "c"
    np.testing.assert_array_equal(numpy_helper.to_array(constant), expected)
    assert numpy_helper.to_array(constant).dtype == expected.dtype
    x = np.array([[2, 3]], np.float32)
    np.testing.assert_array_equal(run_onnx(gathered, x), x * expected)


def test_weights_in_a_list_of_numbers_are_searched_for_nan() -> None:
    nodes = [
        helper.make_node("Constant", [], ["c"], value_floats=[1.0, float("nan")]),
        helper.make_node("Mul", ["x", "c"], ["y"]),
    ]
    with pytest.raises(OnnxModelError, match="constant 'c': expected numbers, got NaN at 1 of 2"):
        check_weights(editable(model_of(nodes)).graph)


def dequantized_weights(scale: float) -> onnx.ModelProto:
    """Weights of 100 by a pair, all of them and their scale in Constant nodes."""
    pair = [
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["q"], name="quantize"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], name="dequantize"),
    ]
    nodes = [
        helper.make_node("Constant", [], ["w"], value_floats=[100.0, 50.0]),
        helper.make_node("Constant", [], ["s"], value_float=scale),
        *pair,
        helper.make_node("Mul", ["x", "d"], ["y"], name="mul"),
    ]
    return model_of(nodes, {"z": np.array(0, np.int8)})


@pytest.mark.parametrize(("scale", "cpu"), [(1.0, Int8Cpu.VNNI), (2.0, Int8Cpu.AVX2)])
def test_the_cpu_that_int8_needs_is_read_off_lists_too(scale: float, cpu: Int8Cpu) -> None:
    assert needed_int8_cpu(dequantized_weights(scale)) is cpu


def test_a_scale_in_a_constant_node_is_constant() -> None:
    assert "scale" not in {finding.rule for finding in lint(dequantized_weights(1.0))}
    assert "scale" in {finding.rule for finding in lint(dequantized_weights(0.0))}


@pytest.mark.parametrize(
    "names", [["", "Relu_0"], ["Relu_1", ""], ["a", "a", "Relu_1"], ["", "", "Relu_0_2", "Relu_0"]]
)
def test_every_node_has_a_name_of_its_own_and_keeps_the_one_it_had(names: list[str]) -> None:
    tensors = ["x", *(f"t{index}" for index in range(1, len(names))), "y"]
    nodes = [
        helper.make_node("Relu", [tensors[index]], [tensors[index + 1]], name=name)
        for index, name in enumerate(names)
    ]
    graph = editable(model_of(nodes)).graph
    name_nodes(graph)
    named = [node.name for node in graph]
    assert len(set(named)) == len(names)
    first = {name: names.index(name) for name in names if name}
    assert all(named[index] == name for name, index in first.items())


def test_of_several_outputs_the_named_one_stays() -> None:
    model = TinyModel(tail=[RESIZE]).model()
    model.graph.output.insert(0, helper.make_tensor_value_info("scores", TensorProto.FLOAT, None))
    form = editable(model)
    tail = recognise_tail(form.graph, "scores")
    assert tail.operators == ()
    form.graph.outputs[:] = reversed(form.graph.outputs)
    cut_tail(form, tail)
    assert [value.name for value in form.graph.outputs] == ["scores"]


def test_what_cannot_be_edited_is_refused() -> None:
    values = numpy_helper.from_array(np.array([1], np.float32), "w")
    places = numpy_helper.from_array(np.array([1], np.int64), "places")
    sparse = helper.make_sparse_tensor(values, places, [2])
    nodes = [
        helper.make_node("Constant", [], ["w"], sparse_value=sparse),
        helper.make_node("Mul", ["x", "w"], ["y"]),
    ]
    with pytest.raises(OnnxModelError, match=r"cannot be edited: .*[Ss]parse"):
        editable(model_of(nodes))
    beside = model_of([helper.make_node("Mul", ["x", "w"], ["y"])])
    beside.graph.sparse_initializer.append(sparse)
    with pytest.raises(OnnxModelError, match="expected dense constants"):
        editable(beside)
    circle = [helper.make_node("Add", ["x", "y"], ["z"]), helper.make_node("Relu", ["z"], ["y"])]
    with pytest.raises(OnnxModelError, match=r"cannot be edited: .*cycle"):
        editable(model_of(circle))
