"""Of a runtime's lines, the one that says why."""

from __future__ import annotations

import pytest

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
    "an operator": (
        "OpConversionFailure:\nSummary:\n-- Conversion is failed for: my.company.Convolve\n",
        "it has no my.company.Convolve",
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
