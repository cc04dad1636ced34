"""Give every network the same outside: NORMALIZED in, SCORES out, float32, NCHW.

What an export calls its tensors, in which layout and type it wants them, is settled once here,
so that the steps and the configs have one form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.class_map import settle_class_map
from tritonseg_engines.graph.input_check import (
    ELEMENT_TYPES,
    check_input,
    check_names,
    shape_words,
)
from tritonseg_engines.graph.output_nodes import (
    append_axis_node,
    append_node,
    declare_output,
    node_output,
)
from tritonseg_engines.graph.surgery import (
    add_constant,
    fed_inputs,
    make_node,
    rename,
)
from tritonseg_engines.graph.value_range import value_range
from tritonseg_engines.spec import BINARY_CLASSES, ModelSpec
from tritonseg_steps.contract import NORMALIZED, SCORES

NCHW_TO_NHWC = (0, 2, 3, 1)
NHWC_TO_NCHW = (0, 3, 1, 2)
PROBABILITY_THRESHOLD = 0.5
PASSES_ON = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


def check_boundary(graph: ir.Graph, spec: ModelSpec) -> None:
    """Check that the graph has the input and output that the specification names.

    Raises:
        OnnxModelError: A name, rank, type or size differs; the message has both sides. Or there
            is no network between the two, of which OpenVINO would give its input's own memory.
    """
    inputs = fed_inputs(graph)
    check_names(inputs, graph.outputs, spec)
    check_input(inputs[0], spec)
    if all(node.op_type in PASSES_ON for node in graph):
        raise OnnxModelError(
            f"output {spec.output.name!r}: the file computes nothing, its output is the picture "
            "itself"
        )


def binary_threshold(graph: ir.Graph, spec: ModelSpec) -> float:
    """Return what parts the two classes of a binary output; 0 for any other.

    The specification's, or else 0.5 where the graph makes a probability, in whatever way, and 0
    where it does not.
    """
    if spec.output.kind != "binary":
        return 0.0
    if spec.output.threshold is not None:
        return spec.output.threshold
    output = next(value for value in graph.outputs if value.name == spec.output.name)
    lowest, highest = bounds = value_range(output)
    if bounds.within(0.0, 1.0):
        return PROBABILITY_THRESHOLD
    if math.isfinite(lowest) and math.isfinite(highest) and not math.isclose(-lowest, highest):
        raise OnnxModelError(
            f"output {output.name!r}: scores lie between {lowest:.4g} and {highest:.4g}, neither a "
            "probability nor even around 0, so that their threshold cannot be told; give "
            f"output.threshold, which is {(lowest + highest) / 2:.4g} for a probability on that "
            "scale"
        )
    return 0.0


def settle_boundary(
    model: ir.Model,
    spec: ModelSpec,
    *,
    kind: str,
    threshold: float,
    shape: Sequence[int | None],
    classes_last: bool = False,
    confidence: str | None = None,
) -> None:
    """Rewrite input and output, in place, to the contract of the steps.

    Args:
        model: Has one input, as checked by `check_boundary`, and one output.
        spec: Says which layout and type the input has.
        kind: "scores" for `(N, C, h, w)` floats, "class_map" for class indices, "binary" for
            `(N, 1, h, w)` floats, which get their threshold as a first score.
        threshold: Of "binary".
        shape: Of the output, None where it is open.
        classes_last: Whether scores are `(N, h, w, C)`.
        confidence: As in `Upsampling`; a binary "probability" gets its complement as first score.

    Raises:
        OnnxModelError: The output has another rank or another number of classes.
    """
    _settle_input(model.graph, spec)
    if kind == "class_map":
        settle_class_map(model.graph, shape, len(spec.classes))
    else:
        shape = _scores_to_nchw(model.graph, spec, kind, shape, classes_last=classes_last)
        if kind == "binary":
            other = _complement if confidence == "probability" else _threshold
            other(model.graph, threshold, shape)
    rename(model.graph, model.graph.outputs[0], SCORES)


def _scores_to_nchw(
    graph: ir.Graph, spec: ModelSpec, kind: str, shape: Sequence[int | None], *, classes_last: bool
) -> list[int | None]:
    """Make the output float32 and `(N, C, h, w)`, and return that shape."""
    count = spec.score_count(kind)
    shape = list(shape)
    if graph.outputs[0].dtype != ir.DataType.FLOAT:
        append_node(graph, "Cast", to=ir.DataType.FLOAT)
    if len(shape) == (2 if kind == "binary" else 3):  # of a batch of one that is fixed
        append_axis_node(graph, "Unsqueeze", 0)
        shape.insert(0, 1)
    if kind == "binary" and len(shape) == 3:
        append_axis_node(graph, "Unsqueeze", 1)
        shape.insert(1, 1)
    if classes_last and len(shape) == 4:
        append_node(graph, "Transpose", perm=NHWC_TO_NCHW)
        shape = [shape[axis] for axis in NHWC_TO_NCHW]
    if len(shape) != 4 or shape[1] not in (None, count):
        raise OnnxModelError(
            f"output {spec.output.name!r}: expected scores (N, {count}, h, w), as the "
            f"specification says, got {shape_words(shape)}"
        )
    shape[1] = count
    declare_output(graph, ir.DataType.FLOAT, shape)
    return shape


def _settle_input(graph: ir.Graph, spec: ModelSpec) -> None:
    (fed,) = fed_inputs(graph)
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
    source = fed_float = ir.val(f"{fed.name}_float", ir.DataType.FLOAT, ir.Shape(dims))
    graph.inputs[graph.inputs.index(fed)] = fed_float
    added = []
    for op_type, attributes in nodes:
        node = make_node(op_type, [source], f"{fed.name}_{op_type.lower()}", **attributes)
        added.append(node)
        source = node.outputs[0]
    fed.replace_all_uses_with(source, replace_graph_outputs=True)
    source.name = fed.name
    graph.insert_before(graph[0], added)
    rename(graph, fed_float, NORMALIZED)  # last, because the export may call its own input so


def _threshold(graph: ir.Graph, threshold: float, shape: Sequence[int | None]) -> None:
    """Put the threshold in front of the only score, so that the higher of the two decides.

    A constant stays what it is under bilinear interpolation, so that upsampling and argmax of
    the two is the threshold of the upsampled score; a tie goes to the first class.
    """
    name = graph.outputs[0].name
    pads = add_constant(
        graph, f"{name}_threshold_pads", np.array([0, 1, 0, 0, 0, 0, 0, 0], np.int64)
    )
    value = add_constant(graph, f"{name}_threshold", np.array(threshold, np.float32))
    append_node(graph, "Pad", [pads, value])
    declare_output(graph, ir.DataType.FLOAT, [shape[0], BINARY_CLASSES, *shape[2:]])


def _complement(graph: ir.Graph, threshold: float, shape: Sequence[int | None]) -> None:
    """Put 1 minus the only score in front, which is higher where that is below 0.5."""
    probability = graph.outputs[0]
    name = f"{probability.name}_complement"
    one = add_constant(graph, f"{name}_one", np.array(2 * threshold, np.float32))
    complement = node_output(graph, "Sub", [one, probability], name)
    both = make_node("Concat", [complement, probability], f"{name}_and_it", axis=1)
    graph.append(both)
    graph.outputs[0] = both.outputs[0]
    declare_output(graph, ir.DataType.FLOAT, [shape[0], BINARY_CLASSES, *shape[2:]])
