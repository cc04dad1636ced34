"""Valid ONNX models from `image` to `result` that a user may give by mistake, and odd ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE_HW = (48, 64)
OPSET = 17
CHANNELS = 3
OWN_DOMAIN = "own"
FLOAT = TensorProto.FLOAT


def classifier() -> onnx.ModelProto:
    """One score a class and picture."""
    return _model(
        [*_features(), _node("GlobalAveragePool", ["features"], "pooled"),
         _node("Flatten", ["pooled"], "result")]
    )  # fmt: skip


def detector() -> onnx.ModelProto:
    """Boxes that are left after non-maximum suppression."""
    nodes = [
        *_features(),
        _node("Reshape", ["features", "boxes_shape"], "boxes"),
        _node("Reshape", ["features", "scores_shape"], "scores"),
        _node("NonMaxSuppression", ["boxes", "scores", "most"], "result"),
    ]
    numbers = {"boxes_shape": [1, -1, 4], "scores_shape": [1, 4, -1], "most": [5]}
    return _model(nodes, numbers=numbers, batch=1)


def detector_with_masks() -> onnx.ModelProto:
    """A number of picture-sized masks that only the run knows."""
    nodes = [
        *_features(),
        _node("NonZero", ["features"], "where"),
        _node("Gather", ["where", "zero"], "rows", axis=0),
        _node("Gather", ["features", "rows"], "result", axis=0),
    ]
    return _model(nodes, numbers={"zero": [0]}, batch=1)


def feature_map() -> onnx.ModelProto:
    """Features instead of scores: one channel too many."""
    return _model(_features(name="result", channels=7))


def depth() -> onnx.ModelProto:
    """One value a pixel, none of them a class."""
    return _model([*_features(channels=1), _node("Softplus", ["features"], "result")])


def sequence() -> onnx.ModelProto:
    nodes = [*_features(), _node("SequenceConstruct", ["features", "features"], "result")]
    output = helper.make_tensor_sequence_value_info("result", FLOAT, None)
    return _model(nodes, output=output)


def optional() -> onnx.ModelProto:
    nodes = [*_features(), _node("Optional", ["features"], "result")]
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    return _model(nodes, output=helper.make_value_info("result", kind))


def condition() -> onnx.ModelProto:
    """Two branches, of which every picture takes one."""
    branches = {
        f"{name}_branch": helper.make_graph(
            [_node(operator, ["features"], name)], name, [],
            [helper.make_tensor_value_info(name, FLOAT, None)],
        )
        for name, operator in (("then", "Relu"), ("else", "Neg"))
    }  # fmt: skip
    nodes = [
        *_features(),
        _node("ReduceMean", ["features"], "mean", keepdims=0),
        _node("Greater", ["mean", "none"], "bright"),
        _node("If", ["bright"], "result", **branches),
    ]
    shape = helper.make_tensor_value_info("result", FLOAT, ["N", 4, "h", "w"])
    return _model(nodes, numbers={"none": np.float32(0)}, output=shape)


def loop() -> onnx.ModelProto:
    """The same step a number of times."""
    body = helper.make_graph(
        [_node("Identity", ["going"], "goes"), _node("Tanh", ["before"], "after")],
        "body",
        [helper.make_tensor_value_info("turn", TensorProto.INT64, []),
         helper.make_tensor_value_info("going", TensorProto.BOOL, []),
         helper.make_tensor_value_info("before", FLOAT, None)],
        [helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
         helper.make_tensor_value_info("after", FLOAT, None)],
    )  # fmt: skip
    nodes = [*_features(), _node("Loop", ["turns", "", "features"], "result", body=body)]
    shape = helper.make_tensor_value_info("result", FLOAT, ["N", 4, "h", "w"])
    return _model(nodes, numbers={"turns": np.int64(3)}, output=shape)


def local_function() -> onnx.ModelProto:
    """The tail is a function of the file's own."""
    shape = helper.make_tensor_value_info("result", FLOAT, ["N", 4, "h", "w"])
    tail = helper.make_node("Tail", ["features"], ["result"], domain=OWN_DOMAIN)
    model = _model([*_features(), tail], output=shape)
    relu, opsets = _node("Relu", ["x"], "y"), [helper.make_opsetid("", OPSET)]
    model.functions.append(helper.make_function(OWN_DOMAIN, "Tail", ["x"], ["y"], [relu], opsets))
    return model


def text_output() -> onnx.ModelProto:
    nodes = [*_features(), _node("Cast", ["features"], "result", to=TensorProto.STRING)]
    text = helper.make_tensor_value_info("result", TensorProto.STRING, ["N", 4, 12, 16])
    return _model(nodes, output=text)


def several_inputs() -> onnx.ModelProto:
    model = _model([*_features(), _node("Add", ["features", "prompt"], "result")])
    model.graph.input.append(helper.make_tensor_value_info("prompt", FLOAT, [1]))
    return model


def constant_result() -> onnx.ModelProto:
    """What is asked for does not read the picture."""
    return _model([*_features(), _node("Identity", ["weight"], "result")])


FOREIGN: dict[str, Callable[[], onnx.ModelProto]] = {
    make.__name__: make
    for make in (
        classifier, detector, detector_with_masks, feature_map, depth, sequence, optional,
        condition, loop, local_function, text_output, several_inputs, constant_result,
    )
}  # fmt: skip


def fed_like(model: onnx.ModelProto, image: onnx.ValueInfoProto) -> onnx.ModelProto:
    """Give a model an input of another type, layout and size, so that no more is wrong with it."""
    tensor = image.type.tensor_type
    last = tensor.shape.dim[3].dim_value == CHANNELS != tensor.shape.dim[1].dim_value
    nodes = [_node("Cast", ["image"], "as_float", to=FLOAT)]
    nodes.append(_node("Transpose", ["as_float"], "nchw", perm=[0, 3, 1, 2] if last else range(4)))
    for node in model.graph.node:
        node.input[:] = ["nchw" if name == "image" else name for name in node.input]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    model.graph.input[0].CopyFrom(image)
    for output in model.graph.output:
        for dim in output.type.tensor_type.shape.dim[2:]:
            dim.Clear()
    return model


def _node(op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs, [output], f"n_{output}", **attributes)


def _features(name: str = "features", channels: int = 4) -> list[onnx.NodeProto]:
    weight = np.random.default_rng(channels).normal(0, 0.3, (channels, 3, 4, 4)).astype(np.float32)
    tensor = numpy_helper.from_array(weight, "weight")
    return [
        helper.make_node("Constant", [], ["weight"], "n_weight", value=tensor),
        _node("Conv", ["image", "weight"], name, kernel_shape=[4, 4], strides=[4, 4]),
    ]


def _model(
    nodes: Sequence[onnx.NodeProto],
    *,
    numbers: dict[str, Any] | None = None,
    batch: str | int = "N",
    output: onnx.ValueInfoProto | None = None,
) -> onnx.ModelProto:
    constants = [
        numpy_helper.from_array(np.asarray(value), name) for name, value in (numbers or {}).items()
    ]
    graph = helper.make_graph(
        nodes, "foreign", [helper.make_tensor_value_info("image", FLOAT, [batch, 3, *SIZE_HW])],
        [output or helper.make_empty_tensor_value_info("result")], constants,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(OWN_DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return model if output else onnx.shape_inference.infer_shapes(model)
