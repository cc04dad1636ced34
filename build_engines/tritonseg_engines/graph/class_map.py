"""An export's class map as the steps take it: uint8, and marked where it is none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.output_nodes import (
    append_axis_node,
    append_node,
    declare_output,
    node_output,
)
from tritonseg_engines.graph.surgery import add_constant, dimensions
from tritonseg_steps.contract import MAX_CLASSES, NO_CLASS

PASSES_INDICES = ("Cast", "Identity", "Squeeze", "Unsqueeze")


def settle_class_map(graph: ir.Graph, shape: Sequence[int | None], classes: int) -> None:
    """Make the output `(N, h, w)` uint8, with NO_CLASS wherever it is no index of a class.

    Args:
        graph: Has one output.
        shape: Of that, None where it is open.
        classes: Of the model.

    Raises:
        OnnxModelError: It has another rank, or no value is left to mark by.
    """
    shape = list(shape)
    if len(shape) == 4:
        unit_axis = 1 if shape[1] == 1 else 3
        if shape[unit_axis] != 1:
            raise OnnxModelError(
                f"output {graph.outputs[0].name!r}: expected a class map (N, h, w) or "
                f"(N, 1, h, w), got {shape}"
            )
        append_axis_node(graph, "Squeeze", unit_axis)
        del shape[unit_axis]
    elif len(shape) == 2:  # of a batch of one that is fixed
        append_axis_node(graph, "Unsqueeze", 0)
        shape.insert(0, 1)
    # TensorRT casts to uint8 from floating point only; a float32 holds every class exactly.
    # Source: TensorRT 10 Python API, DataType.UINT8.
    computed = graph.outputs[0]
    append_node(graph, "Cast", to=ir.DataType.FLOAT)
    if not _are_bytes(computed):
        _mark_what_is_no_class(graph, classes)
    append_node(graph, "Cast", to=ir.DataType.UINT8)
    declare_output(graph, ir.DataType.UINT8, shape)


def _are_bytes(value: ir.Value) -> bool:
    """Return whether an ArgMax or ArgMin gives it, over as many classes as a byte can tell."""
    node = value.producer()
    while node is not None and node.op_type in PASSES_INDICES:
        node = None if node.inputs[0] is None else node.inputs[0].producer()
    if node is None or node.op_type not in ("ArgMax", "ArgMin") or node.inputs[0] is None:
        return False
    dims = dimensions(node.inputs[0])
    count = None if dims is None else dims[node.attributes.get_int("axis", 0)]
    return count is not None and count <= MAX_CLASSES


def _mark_what_is_no_class(graph: ir.Graph, classes: int) -> None:
    """Replace what is no index of a class, NaN included, by one that no class has.

    Raises:
        OnnxModelError: There is no such index.
    """
    found, name = graph.outputs[0], graph.outputs[0].name
    if classes > NO_CLASS:
        raise OnnxModelError(
            f"output {name!r}: expected at most {NO_CLASS} classes of a class map that is not an "
            f"ArgMax, got {classes}; export the scores instead"
        )
    lowest, highest, marker = (
        add_constant(graph, f"{name}_{what}", np.array(value, np.float32))
        for what, value in (("lowest", 0), ("highest", classes - 1), ("no_class", NO_CLASS))
    )
    append_node(graph, "Floor")
    nearest = append_node(graph, "Clip", [lowest, highest])
    # NaN is equal to nothing, and so no class either.
    is_class = node_output(graph, "Equal", [found, nearest], f"{name}_is_class")
    marked = node_output(graph, "Where", [is_class, found, marker], f"{name}_marked")
    graph.outputs[0] = marked
