"""Give every network the same outside: NORMALIZED in, SCORES out, float32, NCHW.

What an export calls its tensors, in which layout and type it wants them, is settled once here,
so that the steps and the configs have one form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.onnx_file import (
    dimensions,
    graph_inputs,
    inferred_values,
    producers,
    rename_tensor,
)
from tritonseg_engines.spec import BINARY_CLASSES, ModelSpec
from tritonseg_steps.contract import NORMALIZED, SCORES

NCHW_TO_NHWC = (0, 2, 3, 1)
NHWC_TO_NCHW = (0, 3, 1, 2)
CHANNELS = 3
SIGMOID_THRESHOLD = 0.5
"""Behind a sigmoid; a raw score is parted at 0, which is the same."""
ELEMENT_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
}


def check_boundary(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Check that the file has the input and output that the specification names.

    Raises:
        OnnxModelError: A name, rank, type or size differs; the message has both sides.
    """
    inputs = graph_inputs(model.graph)
    if [value.name for value in inputs] != [spec.input.name]:
        raise OnnxModelError(
            f"expected exactly one input named {spec.input.name!r}, "
            f"got {[value.name for value in inputs]}"
        )
    outputs = [value.name for value in model.graph.output]
    if spec.output.name not in outputs:
        raise OnnxModelError(f"expected an output named {spec.output.name!r}, got {outputs}")
    _check_input(inputs[0], spec)


def normalize_boundary(model: onnx.ModelProto, spec: ModelSpec, *, kind: str) -> None:
    """Rewrite input and output, in place, to the contract of the steps.

    Args:
        model: Has one input, as checked by `check_boundary`, and one output.
        spec: Says which layout and type the input has.
        kind: "scores" for `(N, C, h, w)` floats, "class_map" for class indices, "binary" for
            `(N, 1, h, w)` floats, which get their threshold as a first score.

    Raises:
        OnnxModelError: The output has another rank or another number of classes.
    """
    _rewrite_input(model.graph, spec)
    output = model.graph.output[0]
    if kind in ("scores", "binary"):
        if kind == "binary":
            _add_threshold(model)
            output = model.graph.output[0]
        _check_scores(inferred_values(model)[output.name], spec)
        if output.type.tensor_type.elem_type != TensorProto.FLOAT:
            _append_node(model.graph, "Cast", to=TensorProto.FLOAT)
            output.type.tensor_type.elem_type = TensorProto.FLOAT
    else:
        _rewrite_class_map(model)
    rename_tensor(model.graph, output.name, SCORES)


def _check_input(value: onnx.ValueInfoProto, spec: ModelSpec) -> None:
    expected_type = ELEMENT_TYPES[spec.input.dtype]
    actual_type = value.type.tensor_type.elem_type
    if actual_type != expected_type:
        raise OnnxModelError(
            f"input {value.name!r}: expected {spec.input.dtype}, "
            f"got {TensorProto.DataType.Name(actual_type).lower()}"
        )
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


def _check_scores(value: onnx.ValueInfoProto, spec: ModelSpec) -> None:
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


def _rewrite_input(graph: onnx.GraphProto, spec: ModelSpec) -> None:
    value = graph_inputs(graph)[0]
    original = value.name
    nodes: list[tuple[str, dict[str, Any]]] = []
    if spec.input.dtype != "float32":
        nodes.append(("Cast", {"to": ELEMENT_TYPES[spec.input.dtype]}))
    if spec.input.layout == "NHWC":
        nodes.append(("Transpose", {"perm": list(NCHW_TO_NHWC)}))
    if not nodes:
        rename_tensor(graph, original, NORMALIZED)
        return
    dims = list(value.type.tensor_type.shape.dim)
    if spec.input.layout == "NHWC":
        dims = [dims[axis] for axis in NHWC_TO_NCHW]
    shape = [dim.dim_value or dim.dim_param or None for dim in dims]
    value.CopyFrom(helper.make_tensor_value_info(NORMALIZED, TensorProto.FLOAT, shape))
    source = NORMALIZED
    for position, (op_type, attributes) in enumerate(nodes):
        last = position == len(nodes) - 1
        target = original if last else f"{original}_{op_type.lower()}"
        node = helper.make_node(op_type, [source], [target], **attributes)
        graph.node.insert(position, node)
        source = target


def _add_threshold(model: onnx.ModelProto) -> None:
    """Put the threshold in front of the only score, so that the higher of the two decides.

    A constant stays what it is under bilinear interpolation, so that upsampling and argmax of
    the two is the threshold of the upsampled score; a tie goes to the first class.
    """
    graph, output = model.graph, model.graph.output[0]
    shape = dimensions(inferred_values(model)[output.name])
    if shape is None or len(shape) != 4 or shape[1] != 1:
        raise OnnxModelError(
            f"output {output.name!r}: expected one score (N, 1, h, w) as the specification's "
            f"kind binary says, got {shape}"
        )
    element_type = output.type.tensor_type.elem_type
    dtype = helper.tensor_dtype_to_np_dtype(element_type)
    node = producers(graph).get(output.name)
    threshold = SIGMOID_THRESHOLD if node is not None and node.op_type == "Sigmoid" else 0.0
    pads = numpy_helper.from_array(
        np.array([0, 1, 0, 0, 0, 0, 0, 0], np.int64), f"{output.name}_threshold_pads"
    )
    value = numpy_helper.from_array(np.array(threshold, dtype), f"{output.name}_threshold")
    graph.initializer.extend([pads, value])
    _append_node(graph, "Pad", [pads.name, value.name])
    dims = [dim.dim_value or dim.dim_param or None for dim in output.type.tensor_type.shape.dim]
    dims[1] = BINARY_CLASSES
    name = graph.output[0].name
    graph.output[0].CopyFrom(helper.make_tensor_value_info(name, element_type, dims))


def _rewrite_class_map(model: onnx.ModelProto) -> None:
    output = model.graph.output[0]
    shape = dimensions(inferred_values(model)[output.name])
    if shape is not None and len(shape) == 4 and shape[1] == 1:
        axes = numpy_helper.from_array(np.array([1], np.int64), f"{output.name}_unit_axis")
        model.graph.initializer.append(axes)
        _append_node(model.graph, "Squeeze", [axes.name])
        shape = [shape[0], *shape[2:]]
    if shape is None or len(shape) != 3:
        raise OnnxModelError(
            f"output {output.name!r}: expected a class map (N, h, w) or (N, 1, h, w), got {shape}"
        )
    # TensorRT casts to uint8 from floating point only; a float32 holds every class exactly.
    # Source: TensorRT 10 Python API, DataType.UINT8.
    _append_node(model.graph, "Cast", to=TensorProto.FLOAT)
    _append_node(model.graph, "Cast", to=TensorProto.UINT8)
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info(model.graph.output[0].name, TensorProto.UINT8, shape)
    )


def _append_node(
    graph: onnx.GraphProto, op_type: str, extra_inputs: Sequence[str] = (), **attributes: Any
) -> None:
    """Put a node behind the only output, which takes the node's output as its new tensor."""
    source = graph.output[0].name
    target = f"{source}_{op_type.lower()}"
    graph.node.append(helper.make_node(op_type, [source, *extra_inputs], [target], **attributes))
    graph.output[0].name = target
