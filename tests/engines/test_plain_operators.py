"""Operators that runtimes read in two ways: OpenVINO and ONNX Runtime give the same of ours."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tiny_models import run_onnx
from tritonseg_engines.graph import surgery
from tritonseg_engines.graph.plain_operators import (
    crop_by_slices,
    flatten_softmaxes,
    pad_before_averages,
    pad_transposed_explicitly,
    without_symmetry,
)
from tritonseg_engines.running.networks import infer_in_openvino


def network(
    nodes: list[onnx.NodeProto], opset: int, *constants: onnx.TensorProto
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("NORMALIZED", TensorProto.FLOAT, ["N", 3, "h", "w"])],
        [helper.make_tensor_value_info("SCORES", TensorProto.FLOAT, ["N", 3, "y", "x"])],
        list(constants),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_a_softmax_of_an_old_opset_is_over_all_behind_its_axis(operator: str, axis: int) -> None:
    old = network([helper.make_node(operator, ["NORMALIZED"], ["SCORES"], axis=axis)], 11)
    batch = np.random.default_rng(0).normal(0, 2, (2, 3, 5, 7)).astype(np.float32)
    expected = run_onnx(old, batch)
    edited = surgery.editable(old)
    flatten_softmaxes(edited)
    flat = surgery.as_proto(edited)
    onnx.checker.check_model(flat, full_check=True)
    np.testing.assert_allclose(run_onnx(flat, batch), expected, rtol=1e-5, atol=1e-6)
    with infer_in_openvino(flat, "fp32") as infer:
        np.testing.assert_allclose(infer(batch), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("scale", "plain"), [(4.0, True), (2.5, False)])
def test_symmetric_halves_are_plain_ones_at_whole_scales(scale: float, plain: bool) -> None:
    scales = numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "scales")
    mode = {"mode": "linear", "coordinate_transformation_mode": "half_pixel_symmetric"}
    node = helper.make_node("Resize", ["NORMALIZED", "", "scales"], ["SCORES"], **mode)
    symmetric = network([node], 19, scales)
    edited = surgery.editable(symmetric)
    without_symmetry(edited)
    rewritten = surgery.as_proto(edited)
    (attribute,) = (a for a in rewritten.graph.node[0].attribute if a.name.startswith("coord"))
    assert (attribute.s == b"half_pixel") == plain
    batch = np.random.default_rng(0).normal(0, 2, (1, 3, 5, 7)).astype(np.float32)
    np.testing.assert_allclose(run_onnx(rewritten, batch), run_onnx(symmetric, batch), atol=1e-5)


@pytest.mark.parametrize("opset", [11, 17, 19])
@pytest.mark.parametrize(("kernel", "stride", "pad"), [(3, 2, 1), (5, 3, 2), (7, 3, 3), (2, 2, 0)])
def test_averages_that_round_up_count_no_more_than_the_padding(
    kernel: int, stride: int, pad: int, opset: int
) -> None:
    node = helper.make_node(
        "AveragePool",
        ["NORMALIZED"],
        ["SCORES"],
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        pads=[pad] * 4,
        ceil_mode=1,
        count_include_pad=1,
    )
    edited = surgery.editable(network([node], opset))
    pad_before_averages(edited)
    padded = surgery.as_proto(edited)
    onnx.checker.check_model(padded, full_check=True)
    average = torch.nn.AvgPool2d(kernel, stride, pad, ceil_mode=True, count_include_pad=True)
    for size_hw in ((20, 21), (22, 25), (35, 42)):
        batch = np.random.default_rng(0).normal(0, 2, (2, 3, *size_hw)).astype(np.float32)
        expected = average(torch.from_numpy(batch)).numpy()
        np.testing.assert_allclose(run_onnx(padded, batch), expected, atol=1e-5)
        with infer_in_openvino(padded, "fp32") as infer:
            np.testing.assert_allclose(infer(batch), expected, atol=1e-4)


@pytest.mark.parametrize("opset", [11, 18])
@pytest.mark.parametrize(
    "pads", [[0, 0, -1, -2, 0, 0, 0, -3], [0, 0, 2, -1, 0, 0, -3, 4], [0, 0, 0, -5, 0, 0, 0, 0]]
)
def test_a_pad_that_crops_is_a_slice(pads: list[int], opset: int) -> None:
    constant = numpy_helper.from_array(np.array(pads, np.int64), "pads")
    nodes = [
        helper.make_node("Relu", ["NORMALIZED"], ["rectified"]),
        helper.make_node("Pad", ["rectified", "pads"], ["padded"]),
        helper.make_node("Neg", ["padded"], ["SCORES"]),
    ]
    edited = surgery.editable(network(nodes, opset, constant))
    crop_by_slices(edited)
    sliced = surgery.as_proto(edited)
    onnx.checker.check_model(sliced, full_check=True)
    assert [node.op_type for node in sliced.graph.node] == ["Relu", "Pad", "Slice", "Neg"]
    batch = np.random.default_rng(0).normal(0, 2, (2, 3, 11, 14)).astype(np.float32)
    left_right_top_bottom = (pads[3], pads[7], pads[2], pads[6])
    expected = -torch.nn.functional.pad(torch.from_numpy(batch).relu(), left_right_top_bottom)
    np.testing.assert_allclose(run_onnx(sliced, batch), expected.numpy(), atol=1e-6)
    with infer_in_openvino(sliced, "fp32") as infer:
        np.testing.assert_allclose(infer(batch), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("side", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(
    ("kernel", "stride", "words"),
    [(3, 2, {}), (5, 2, {}), (4, 3, {}), (3, 2, {"dilations": [2, 2]}), (2, 2, {})],
)
def test_a_transposed_convolution_that_keeps_multiples_says_what_it_cuts(
    kernel: int, stride: int, words: dict[str, list[int]], side: str
) -> None:
    weight = np.random.default_rng(0).normal(0, 1, (3, 3, kernel, kernel)).astype(np.float32)
    node = helper.make_node(
        "ConvTranspose", ["NORMALIZED", "weight"], ["SCORES"], strides=[stride] * 2, auto_pad=side,
        **words,
    )  # fmt: skip
    same = network([node], 11, numpy_helper.from_array(weight, "weight"))
    edited = surgery.editable(same)
    pad_transposed_explicitly(edited)
    written = surgery.as_proto(edited)
    batch = np.random.default_rng(1).normal(0, 2, (1, 3, 9, 14)).astype(np.float32)
    expected = run_onnx(same, batch)
    assert expected.shape[2:] == (9 * stride, 14 * stride)
    np.testing.assert_allclose(run_onnx(written, batch), expected, atol=1e-5)
    with infer_in_openvino(written, "fp32") as infer:
        np.testing.assert_allclose(infer(batch), expected, atol=1e-4)
