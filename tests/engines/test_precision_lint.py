"""Every rule of the structural lint fires on a graph made to break it, and on no other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from residual_network import residual_network
from tritonseg_engines.precision import half_precision, lint, quantizable_layers, quantize
from tritonseg_engines.precision.operators import NEWEST_OPSET, tensorrt_releases
from tritonseg_engines.precision.quantize import calibrated_tensors


def int8() -> onnx.ModelProto:
    network = residual_network()
    layers = quantizable_layers(network)
    thresholds = dict.fromkeys(calibrated_tensors(network, layers), 2.0)
    return quantize(network, thresholds, layers, store_int8=True)


def half() -> onnx.ModelProto:
    return half_precision(residual_network(), ["head"])


def node_of(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def reading(model: onnx.ModelProto, tensor: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.input[0] == tensor)


def replace_constant(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    constant = next(entry for entry in model.graph.initializer if entry.name == name)
    constant.CopyFrom(numpy_helper.from_array(value, name))


def dequantized(model: onnx.ModelProto, layer: str, index: int) -> onnx.NodeProto:
    """The DequantizeLinear that a layer reads as its input (0) or weights (1)."""
    tensor = node_of(model, layer).input[index]
    return next(node for node in model.graph.node if node.output[0] == tensor)


def non_zero_point() -> onnx.ModelProto:
    model = int8()
    replace_constant(model, dequantized(model, "first", 0).input[2], np.array(3, np.int8))
    return model


def uint8_zero_point() -> onnx.ModelProto:
    model = int8()
    replace_constant(model, dequantized(model, "first", 0).input[2], np.array(0, np.uint8))
    return model


def zero_scale() -> onnx.ModelProto:
    model = int8()
    replace_constant(model, dequantized(model, "first", 0).input[1], np.array(0, np.float32))
    return model


def quantized_bias() -> onnx.ModelProto:
    model = int8()
    constants = {
        "bias_q": np.zeros(8, np.int32),
        "bias_scale": np.array(0.1, np.float32),
        "bias_zero": np.array(0, np.int8),
    }
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    node = helper.make_node("DequantizeLinear", list(constants), ["bias_f"], "bias_dq")
    model.graph.node.insert(0, node)
    node_of(model, "first").input[2] = "bias_f"
    return model


def pair_before_activation() -> onnx.ModelProto:
    model = int8()
    constants = {"s": np.array(0.1, np.float32), "z": np.array(0, np.int8)}
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    relu = node_of(model, "inner_relu")
    position = list(model.graph.node).index(relu)
    quantize_node = helper.make_node("QuantizeLinear", ["first", "s", "z"], ["fq"], "fq")
    dequantize_node = helper.make_node("DequantizeLinear", ["fq", "s", "z"], ["fd"], "fd")
    model.graph.node.insert(position, dequantize_node)
    model.graph.node.insert(position, quantize_node)
    node_of(model, "inner_relu").input[0] = "fd"
    return model


def one_weight_scale() -> onnx.ModelProto:
    model = int8()
    node = dequantized(model, "first", 1)
    replace_constant(model, node.input[1], np.array(0.01, np.float32))
    replace_constant(model, node.input[2], np.array(0, np.int8))
    return model


def weights_along_the_wrong_axis() -> onnx.ModelProto:
    model = int8()
    (axis,) = (e for e in dequantized(model, "first", 1).attribute if e.name == "axis")
    axis.i = 1
    return model


def float_input() -> onnx.ModelProto:
    model = int8()
    node_of(model, "first").input[0] = "stem_relu"
    return model


def float_layer() -> onnx.ModelProto:
    model = int8()
    node = node_of(model, "first")
    node.input[0], node.input[1] = "stem_relu", "first.weight"
    weight = next(v for v in residual_network().graph.initializer if v.name == "first.weight")
    model.graph.initializer.append(weight)
    return model


def both_inputs_of_the_add() -> onnx.ModelProto:
    model = int8()
    add = node_of(model, "residual")
    add.input[0] = dequantized(model, "second", 0).output[0]
    return model


def cast_there_and_back() -> onnx.ModelProto:
    model = half()
    node = node_of(model, "inner_relu")
    target = node.output[0]
    node.output[0] = "before"
    position = list(model.graph.node).index(node)
    half_type, single = TensorProto.FLOAT16, TensorProto.FLOAT
    names = ["before", "wide", "narrow", "wide again", target]
    types = [single, half_type, single, half_type]
    steps = zip(names, names[1:], types, strict=False)
    for offset, (source, result, to) in enumerate(steps, start=1):
        cast = helper.make_node("Cast", [source], [result], result, to=to)
        model.graph.node.insert(position + offset, cast)
    return model


def infinite_constant() -> onnx.ModelProto:
    model = half()
    replace_constant(model, "first.bias", np.full(8, np.inf, np.float16))
    return model


def half_output() -> onnx.ModelProto:
    model = half()
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def renamed_input() -> onnx.ModelProto:
    model = half()
    model.graph.input[0].name = "pixels"
    node_reading = [node for node in model.graph.node if "NORMALIZED" in node.input]
    for node in node_reading:
        node.input[0] = "pixels"
    return model


def unread_operator() -> onnx.ModelProto:
    model = residual_network()
    node_of(model, "inner_relu").op_type = "Det"
    return model


def foreign_domain() -> onnx.ModelProto:
    model = residual_network()
    node_of(model, "inner_relu").domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def newest_opset() -> onnx.ModelProto:
    model = residual_network()
    model.opset_import[0].version = 26
    return model


BROKEN = {
    "zero-point": [non_zero_point, uint8_zero_point],
    "scale": [zero_scale],
    "bias": [quantized_bias],
    "activation": [pair_before_activation],
    "per-channel": [one_weight_scale, weights_along_the_wrong_axis],
    "half-quantized": [float_input],
    "not-quantized": [float_layer],
    "residual": [both_inputs_of_the_add],
    "cast": [cast_there_and_back],
    "fp32-left": [half],
    "constant": [infinite_constant],
    "boundary": [half_output, renamed_input],
    "operator": [unread_operator, foreign_domain],
    "opset": [newest_opset],
}
SECOND_FINDING = {cast_there_and_back: ["fp32-left"], uint8_zero_point: ["bias"]}
"""What the same damage means to a second rule."""
CASES = [(rule, make) for rule, makers in BROKEN.items() for make in makers]


@pytest.mark.parametrize(("rule", "make"), CASES, ids=[make.__name__ for _, make in CASES])
def test_a_rule_fires_on_what_breaks_it(rule: str, make: Callable[[], onnx.ModelProto]) -> None:
    found = {finding.rule for finding in lint(make(), kept_float=() if make is half else ("head",))}
    allowed = {rule, *SECOND_FINDING.get(make, ())}
    assert rule in found
    assert found <= allowed


def test_good_graphs_have_no_findings() -> None:
    assert lint(residual_network()) == []
    assert lint(int8()) == []
    assert lint(half(), kept_float=["head"]) == []
    assert lint(half_precision(int8(), ()), releases=("10", "11")) == []


def test_findings_name_the_node() -> None:
    finding = next(f for f in lint(pair_before_activation()) if f.rule == "activation")
    assert finding.where == "inner_relu"
    assert "first" in finding.message


def test_a_layer_left_in_float_on_purpose_is_no_finding() -> None:
    assert lint(float_layer(), kept_float=["first"]) == []


def test_releases_by_opset_and_operator() -> None:
    assert tensorrt_releases(["Conv", "Relu"], 17) == ["8.6", "10", "11"]
    assert tensorrt_releases(["Conv", "LayerNormalization"], 17) == ["10", "11"]
    assert tensorrt_releases(["Conv"], 19) == ["10", "11"]
    assert tensorrt_releases(["Conv"], 24) == ["11"]
    assert tensorrt_releases(["Conv", "MaxUnpool"], 17) == []
    assert tensorrt_releases(["Conv"], 8) == []
    assert list(NEWEST_OPSET) == ["8.6", "10", "11"]


def test_nodes_without_inputs_are_no_quantizers() -> None:
    """A constant is a node in many exports."""
    model = residual_network()
    model.graph.node.insert(0, helper.make_node("Constant", [], ["nobody"], value_float=1.0))
    assert [finding.rule for finding in lint(model, releases=())] == []
