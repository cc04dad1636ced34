"""Of a runtime's lines, the one that says why."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.running.networks import infer_in_openvino
from tritonseg_engines.running.reasons import (
    missing_operator,
    onnx_runtime_reason,
    openvino_reason,
)

ONNX_RUNTIME = {
    "a size": (
        "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: NORMALIZED "
        "for the following indices\n index: 1 Got: 3 Expected: 4\n index: 2 Got: 64 Expected: 32\n "
        "Please fix either the inputs/outputs or the model.",
        "axis 1 is 3, expected 4, axis 2 is 64, expected 32",
    ),
    "a kernel": (
        "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for "
        "GridSample(16) node with name '/m/head/sample'",
        "it has no GridSample of opset 16 for the types that it has here; export what is float64 "
        "in float32",
    ),
    "a node": (
        "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Concat node. "
        "Name:'/m/Concat_3' Status Message: concatbase.h:135 Non concat axis dimensions must match",
        "Concat: Non concat axis dimensions must match",
    ),
    "a place in the source": (
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization: "
        "/src/cpu/grid_sample.h:39 GridSample<T>::GridSample(const Info&) [with T = float] "
        'mode "linear" not supported',
        'mode "linear" not supported',
    ),
    "nothing known": ("the first line\nand another", "the first line and another"),
    "nothing": ("", "RuntimeError"),
}
OPENVINO = {
    "a node": (
        "Check 'false' failed at frontend.cpp:151:\n-- Resize-19 with a message:\n"
        "While validating ONNX node '<Node(Resize): output>':\nsuch a mode is not supported\n\n"
        "Summary:\n-- Conversion is failed for: Resize-19\n",
        "Resize: such a mode is not supported",
    ),
    "a node whose check stands in its line": (
        "-- Conv-17 with a message:\nWhile validating ONNX node '<Node(Conv): y>': Check 'data' "
        "failed at conv.cpp:38:\nFrontEnd API failed with GeneralFailure:\nThe rank has to be "
        "known\n\nSummary:\n-- Conversion is failed for: Conv-17\n",
        "Conv: The rank has to be known",
    ),
    "an operator of which it says no more": (
        "OpConversionFailure:\nSummary:\n-- Conversion is failed for: my.company.Convolve\n",
        "it cannot convert my.company.Convolve, and does not say why",
    ),
    "nothing known": ("Exception from core.cpp:132:\nthe last line\n", "the last line"),
}


@pytest.mark.parametrize(("text", "reason"), ONNX_RUNTIME.values(), ids=ONNX_RUNTIME)
def test_onnx_runtime(text: str, reason: str) -> None:
    assert onnx_runtime_reason(RuntimeError(text)) == reason


@pytest.mark.parametrize(("text", "reason"), OPENVINO.values(), ids=OPENVINO)
def test_openvino(text: str, reason: str) -> None:
    assert openvino_reason(RuntimeError(text)) == reason


def test_an_operator_that_is_missing_is_told() -> None:
    assert missing_operator(RuntimeError(ONNX_RUNTIME["a kernel"][0])) == "GridSample"
    assert missing_operator(None) is None


def of_operators(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """A chain from "x" to "y"; convolutions before and behind take and give three channels."""
    convolutions = [
        helper.make_node("Conv", [source, "weights"], [target], name=target, kernel_shape=[1, 1])
        for source, target in (("x", "c"), ("u", "y"))
    ]
    graph = helper.make_graph(
        [convolutions[0], *nodes, convolutions[1]], "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 16, 16])],
        [numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "weights")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.company", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def branch(name: str, node: onnx.NodeProto) -> onnx.GraphProto:
    given = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, [1, 3, 16, 16])
    return helper.make_graph([node], name, [], [given])


POOL = helper.make_node("MaxPool", ["c"], ["p", "i"], kernel_shape=[2, 2], strides=[2, 2])
UNPOOL = helper.make_node("MaxUnpool", ["p", "i"], ["u"], kernel_shape=[2, 2], strides=[2, 2])
OWN = helper.make_node("Sharpen", ["c"], ["u"], domain="my.company")
CHOICE = helper.make_node(
    "If", ["b"], ["u"],
    then_branch=branch("then", helper.make_node("Sharpen", ["c"], ["t"], domain="my.company")),
    else_branch=branch("else", helper.make_node("Relu", ["c"], ["e"])),
)  # fmt: skip
ONES = np.ones(4, np.float32)
LACKING = {
    "an operator in front of one that it has": ([POOL, UNPOOL], "it has no MaxUnpool"),
    "an operator of one's own": ([OWN], "it has no my.company.Sharpen"),
    "one in a branch": (
        [
            helper.make_node("ReduceMax", ["c"], ["m"], keepdims=0),
            helper.make_node("Cast", ["m"], ["b"], to=TensorProto.BOOL),
            CHOICE,
        ],
        "it has no my.company.Sharpen",
    ),
    "two": (
        [
            POOL,
            helper.make_node("MaxUnpool", ["p", "i"], ["v"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Sharpen", ["v"], ["u"], domain="my.company"),
        ],
        "it has no MaxUnpool, my.company.Sharpen",
    ),
    "a mode": (
        [
            helper.make_node("Constant", [], ["s"], value=numpy_helper.from_array(ONES)),
            helper.make_node(
                "Resize", ["c", "", "s"], ["u"], name="up", mode="linear",
                coordinate_transformation_mode="tf_crop_and_resize",
            ),
        ],
        "Resize: tf_crop_and_resize - this type of coordinate transformation mode is not supported",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "reason"), LACKING.values(), ids=LACKING)
def test_openvino_itself_is_quoted(nodes: list[onnx.NodeProto], reason: str) -> None:
    """Whatever its version words it like: an operator that it has is never said to be lacking."""
    with (
        pytest.raises(OnnxModelError) as caught,
        infer_in_openvino(of_operators(*nodes), "fp32"),
    ):
        pass
    (line,) = str(caught.value).splitlines()
    told = line.removeprefix("OpenVINO cannot load the network: ")
    assert re.split(r"; export the network without (?:it|them)$|\. ", told)[0] == reason
