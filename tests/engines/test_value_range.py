"""Bounds of values: by formula, and in time that does not grow with the ways through a graph."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tritonseg_engines.graph.surgery import editable
from tritonseg_engines.graph.value_range import Range, value_range

Step = tuple[str, list[str]]


def bounds(*steps: Step) -> Range:
    """Of the last of a chain of nodes; "x" is the one before, "x0" the input, numbers constants."""
    nodes, constants = [], {}
    for index, (op_type, inputs) in enumerate(steps):
        names = []
        for name in inputs:
            names.append(f"x{index}" if name == "x" else name)
            if name.replace(".", "").replace("-", "").isdigit():
                constants[name] = np.array(float(name), np.float32)
        nodes.append(helper.make_node(op_type, names, [f"x{index + 1}"]))
    last = f"x{len(steps)}"
    graph = helper.make_graph(
        nodes, "chain",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return value_range(editable(model).graph.outputs[0])


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("Sigmoid", ["x"])], (0, 1)),
        ([("Sigmoid", ["x"]), ("Sub", ["1.0", "x"])], (0, 1)),
        ([("Neg", ["x"]), ("Exp", ["x"]), ("Add", ["x", "1.0"]), ("Div", ["1.0", "x"])], (0, 1)),
        ([("Neg", ["x"]), ("Exp", ["x"]), ("Add", ["x", "1.0"]), ("Reciprocal", ["x"])], (0, 1)),
        ([("Clip", ["x", "0.0", "1.0"]), ("Round", ["x"])], (0, 1)),
        ([("Tanh", ["x"])], (-1, 1)),
        ([("Tanh", ["x"]), ("Mul", ["x", "0.5"]), ("Add", ["x", "0.5"])], (0, 1)),
        ([("Sigmoid", ["x"]), ("Mul", ["x", "255.0"])], (0, 255)),
        ([("Relu", ["x"])], (0, math.inf)),
        ([("Sigmoid", ["x"]), ("Erf", ["x"])], (-math.inf, math.inf)),
    ],
)
def test_bounds_follow_the_operators(steps: list[Step], expected: tuple[float, float]) -> None:
    assert bounds(*steps) == pytest.approx(expected)


def test_many_ways_through_a_graph_take_no_longer() -> None:
    """Every addition reads the one before twice: 2 ** 60 ways to the input."""
    assert bounds(("Sigmoid", ["x"]), *[("Add", ["x", "x"])] * 60).highest == 2.0**60
