"""Give every network the same outside: NORMALIZED in, SCORES out, float32, NCHW.

What an export calls its tensors, in which layout and type it wants them, is settled once here,
so that the steps and the configs have one form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.surgery import (
    add_constant,
    dimensions,
    inferred_values,
    make_node,
    maker,
    rename,
)
from tritonseg_engines.spec import BINARY_CLASSES, ModelSpec
from tritonseg_steps.contract import NORMALIZED, SCORES

NCHW_TO_NHWC = (0, 2, 3, 1)
NHWC_TO_NCHW = (0, 3, 1, 2)
CHANNELS = 3
SIGMOID_THRESHOLD = 0.5
"""Behind a sigmoid; a raw score is parted at 0, which is the same."""
ELEMENT_TYPES = {
    "float32": ir.DataType.FLOAT,
    "float16": ir.DataType.FLOAT16,
    "uint8": ir.DataType.UINT8,
}


def check_boundary(graph: ir.Graph, spec: ModelSpec) -> None:
    """Check that the graph has the input and output that the specification names.

    Raises:
        OnnxModelError: A name, rank, type or size differs; the message has both sides.
    """
    # Old files list initializers among the inputs.
    inputs = [value for value in graph.inputs if not value.is_initializer()]
    if [value.name for value in inputs] != [spec.input.name]:
        raise OnnxModelError(
            f"expected exactly one input named {spec.input.name!r}, "
            f"got {[value.name for value in inputs]}"
        )
    outputs = [value.name for value in graph.outputs]
    if spec.output.name not in outputs:
        raise OnnxModelError(f"expected an output named {spec.output.name!r}, got {outputs}")
    _check_input(inputs[0], spec)


def settle_boundary(model: ir.Model, spec: ModelSpec, *, kind: str) -> None:
    """Rewrite input and output, in place, to the contract of the steps.

    Args:
        model: Has one input, as checked by `check_boundary`, and one output.
        spec: Says which layout and type the input has.
        kind: "scores" for `(N, C, h, w)` floats, "class_map" for class indices, "binary" for
            `(N, 1, h, w)` floats, which get their threshold as a first score.

    Raises:
        OnnxModelError: The output has another rank or another number of classes.
    """
    graph = model.graph
    _settle_input(graph, spec)
    if kind in ("scores", "binary"):
        if kind == "binary":
            _add_threshold(model)
        _check_scores(_inferred_output(model), spec)
        if graph.outputs[0].dtype != ir.DataType.FLOAT:
            _append_node(graph, "Cast", to=ir.DataType.FLOAT)
    else:
        _settle_class_map(model)
    rename(graph, graph.outputs[0], SCORES)


def _check_input(value: ir.Value, spec: ModelSpec) -> None:
    if value.dtype != ELEMENT_TYPES[spec.input.dtype]:
        got = "none" if value.dtype is None else value.dtype.name.lower()
        raise OnnxModelError(f"input {value.name!r}: expected {spec.input.dtype}, got {got}")
    shape = dimensions(value)
    if shape is None or len(shape) != 4:
        raise OnnxModelError(f"input {value.name!r}: expected 4 dimensions, got {shape}")
    if spec.input.layout == "NHWC":
        shape = [shape[axis] for axis in NHWC_TO_NCHW]
    expected = [CHANNELS, spec.input.height, spec.input.width]
    mismatch = [
        (want, got)
        for want, got in zip(expected, shape[1:], strict=True)
        if want is not None and got is not None and want != got
    ]
    if mismatch:
        raise OnnxModelError(
            f"input {value.name!r}: expected channels, height, width {expected} as the "
            f"specification says, got {shape[1:]}"
        )


def _check_scores(value: ir.Value, spec: ModelSpec) -> None:
    shape = dimensions(value)
    if shape is None or len(shape) != 4:
        raise OnnxModelError(
            f"output {value.name!r}: expected scores of 4 dimensions (N, C, h, w), got {shape}"
        )
    if shape[1] is not None and shape[1] != len(spec.classes):
        hint = "; one score with a threshold is output.kind: binary" if shape[1] == 1 else ""
        raise OnnxModelError(
            f"output {value.name!r}: expected {len(spec.classes)} classes as the specification "
            f"says, got {shape[1]}{hint}"
        )


def _settle_input(graph: ir.Graph, spec: ModelSpec) -> None:
    fed = next(value for value in graph.inputs if not value.is_initializer())
    nodes: list[tuple[str, dict[str, Any]]] = []
    if spec.input.dtype != "float32":
        nodes.append(("Cast", {"to": ELEMENT_TYPES[spec.input.dtype]}))
    if spec.input.layout == "NHWC":
        nodes.append(("Transpose", {"perm": NCHW_TO_NHWC}))
    if not nodes:
        rename(graph, fed, NORMALIZED)
        return
    dims = list(fed.shape or ())
    if spec.input.layout == "NHWC":
        dims = [dims[axis] for axis in NHWC_TO_NCHW]
    source = ir.val(NORMALIZED, ir.DataType.FLOAT, ir.Shape(dims))
    graph.inputs[graph.inputs.index(fed)] = source
    added = []
    for op_type, attributes in nodes:
        node = make_node(op_type, [source], f"{fed.name}_{op_type.lower()}", **attributes)
        added.append(node)
        source = node.outputs[0]
    fed.replace_all_uses_with(source, replace_graph_outputs=True)
    source.name = fed.name
    graph.insert_before(graph[0], added)


def _add_threshold(model: ir.Model) -> None:
    """Put the threshold in front of the only score, so that the higher of the two decides.

    A constant stays what it is under bilinear interpolation, so that upsampling and argmax of
    the two is the threshold of the upsampled score; a tie goes to the first class.
    """
    graph, output = model.graph, _inferred_output(model)
    shape, sizes = output.shape, dimensions(output)
    if output.dtype is None or shape is None or len(shape) != 4 or shape[1] != 1:
        raise OnnxModelError(
            f"output {output.name!r}: expected one score (N, 1, h, w) as the specification's "
            f"kind binary says, got {sizes}"
        )
    sigmoid = maker(graph.outputs[0], "Sigmoid") is not None
    threshold = np.array(SIGMOID_THRESHOLD if sigmoid else 0.0, output.dtype.numpy())
    pads = add_constant(
        graph, f"{output.name}_threshold_pads", np.array([0, 1, 0, 0, 0, 0, 0, 0], np.int64)
    )
    value = add_constant(graph, f"{output.name}_threshold", threshold)
    padded = _append_node(graph, "Pad", [pads, value])
    padded.type = output.type
    padded.shape = ir.Shape([shape[0], BINARY_CLASSES, *shape[2:]])


def _settle_class_map(model: ir.Model) -> None:
    graph, output = model.graph, _inferred_output(model)
    shape = dimensions(output)
    if shape is not None and len(shape) == 4 and shape[1] == 1:
        axes = add_constant(graph, f"{output.name}_unit_axis", np.array([1], np.int64))
        _append_node(graph, "Squeeze", [axes])
        shape = [shape[0], *shape[2:]]
    if shape is None or len(shape) != 3:
        raise OnnxModelError(
            f"output {output.name!r}: expected a class map (N, h, w) or (N, 1, h, w), got {shape}"
        )
    # TensorRT casts to uint8 from floating point only; a float32 holds every class exactly.
    # Source: TensorRT 10 Python API, DataType.UINT8.
    _append_node(graph, "Cast", to=ir.DataType.FLOAT)
    class_map = _append_node(graph, "Cast", to=ir.DataType.UINT8)
    class_map.type, class_map.shape = ir.TensorType(ir.DataType.UINT8), ir.Shape(shape)


def _inferred_output(model: ir.Model) -> ir.Value:
    return inferred_values(model)[model.graph.outputs[0].name or ""]


def _append_node(
    graph: ir.Graph, op_type: str, more_inputs: Sequence[ir.Value] = (), **attributes: Any
) -> ir.Value:
    """Put a node behind the only output; what it gives is the new output, and is returned."""
    source = graph.outputs[0]
    target = f"{source.name}_{op_type.lower()}"
    node = make_node(op_type, [source, *more_inputs], target, **attributes)
    graph.append(node)
    graph.outputs[0] = node.outputs[0]
    return node.outputs[0]
