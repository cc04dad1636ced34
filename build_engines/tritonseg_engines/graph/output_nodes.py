"""Put nodes behind a graph's only output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from tritonseg_engines.graph.surgery import add_constant, make_node

AXES_ARE_INPUT_SINCE = 13
"""Opset from which Squeeze, Unsqueeze and ReduceSum read their axes as an input."""


def append_axis_node(graph: ir.Graph, op_type: str, axis: int) -> None:
    """Put a Squeeze or Unsqueeze behind the output, in the form of the graph's opset."""
    name = f"{graph.outputs[0].name}_{op_type.lower()}_axes"
    inputs, attributes = axes_of(graph, name, [axis])
    append_node(graph, op_type, inputs, **attributes)


def axes_of(
    graph: ir.Graph, name: str, axes: Sequence[int]
) -> tuple[list[ir.Value], dict[str, Any]]:
    """Return the inputs and attributes by which a node reads its axes in the graph's opset.

    Args:
        graph: To which the constant is added if they are an input.
        name: Of that.
        axes: Of a Squeeze, an Unsqueeze or a ReduceSum.
    """
    if graph.opset_imports[""] < AXES_ARE_INPUT_SINCE:
        return [], {"axes": list(axes)}
    return [add_constant(graph, name, np.array(axes, np.int64))], {}


def declare_output(graph: ir.Graph, dtype: ir.DataType, shape: Sequence[int | None]) -> None:
    """Say which type and shape the output has, None where a dimension is open."""
    output = graph.outputs[0]
    output.type, output.shape = ir.TensorType(dtype), ir.Shape(shape)


def append_node(
    graph: ir.Graph, op_type: str, more_inputs: Sequence[ir.Value] = (), **attributes: Any
) -> ir.Value:
    """Put a node behind the only output; what it gives is the new output, and is returned."""
    source = graph.outputs[0]
    target = f"{source.name}_{op_type.lower()}"
    node = make_node(op_type, [source, *more_inputs], target, **attributes)
    graph.append(node)
    graph.outputs[0] = node.outputs[0]
    return node.outputs[0]


def node_output(graph: ir.Graph, op_type: str, inputs: Sequence[ir.Value], output: str) -> ir.Value:
    """Put a node at the end of a graph and return what it gives."""
    node = make_node(op_type, inputs, output)
    graph.append(node)
    return node.outputs[0]
