"""What a graph gives for a class map is an index of a class, or is marked, in both runtimes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph import surgery
from tritonseg_engines.graph.class_map import settle_class_map
from tritonseg_engines.running.networks import infer_in_onnx_runtime, infer_in_openvino
from tritonseg_steps.contract import NO_CLASS

CLASSES = 5


def settled(
    operators: list[tuple[str, dict[str, int]]], *, channels: int, classes: int = CLASSES
) -> onnx.ModelProto:
    """Operators on `(N, channels, h, w)` floats, as a class map."""
    tensors = ["NORMALIZED", *(f"t{index}" for index in range(len(operators)))]
    nodes = [
        helper.make_node(op_type, [tensors[index]], [tensors[index + 1]], **attributes)
        for index, (op_type, attributes) in enumerate(operators)
    ]
    declared = helper.make_tensor_value_info(
        "NORMALIZED", TensorProto.FLOAT, ["N", channels, "h", "w"]
    )
    element = TensorProto.INT64 if operators[-1][0] == "ArgMax" else TensorProto.FLOAT
    output = helper.make_tensor_value_info(tensors[-1], element, ["N", 1, "h", "w"])
    graph = helper.make_graph(nodes, "classes", [declared], [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    edited = surgery.editable(model)
    settle_class_map(edited.graph, [None, 1, None, None], classes)
    proto = surgery.as_proto(edited)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def in_both(model: onnx.ModelProto, values: np.ndarray) -> list[np.ndarray]:
    with infer_in_openvino(model, "fp32") as infer:
        return [infer_in_onnx_runtime(model)(values), infer(values).copy()]


def test_what_is_no_class_is_marked() -> None:
    values = [0, 1, 4, 5, -1, 0.5, 255, 256, 300, 1e9, -1e9, np.nan, np.inf, -np.inf, -0.0, 3.999]
    batch = np.array(values, np.float32).reshape(1, 1, 4, 4)
    expected = [0, 1, 4, *[NO_CLASS] * 11, 0, NO_CLASS]
    for actual in in_both(settled([("Identity", {})], channels=1), batch):
        assert actual.dtype == np.uint8
        assert actual.ravel().tolist() == expected


@pytest.mark.parametrize(("channels", "marks"), [(CLASSES, False), (256, False), (300, True)])
def test_an_argmax_over_a_byte_s_classes_needs_no_mark(channels: int, marks: bool) -> None:
    """Of more, an index such as 257 would become 1."""
    model = settled([("ArgMax", {"axis": 1, "keepdims": 1})], channels=channels)
    assert ("Where" in {node.op_type for node in model.graph.node}) == marks
    batch = np.zeros((1, channels, 2, 2), np.float32)
    batch[0, -1, 0, 0] = 1
    for actual in in_both(model, batch):
        assert actual[0].tolist() == [[min(channels - 1, NO_CLASS), 0], [0, 0]]


def test_256_classes_leave_nothing_to_mark_by() -> None:
    with pytest.raises(OnnxModelError, match="at most 255 classes"):
        settled([("Identity", {})], channels=1, classes=256)
