"""Which nodes keep fp32 in an fp16 network, and why.

By measurement: values that do not fit fp16 with room to spare. By rule: a softmax over positions
and what it weighs, and what is done to a picture before the first layer. By name: what the user
says.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir

from tritonseg_engines.errors import SpecificationError
from tritonseg_engines.graph.surgery import (
    constant_value,
    dimensions,
    editable,
    inferred_values,
)
from tritonseg_engines.precision.activations import Range
from tritonseg_engines.precision.front import front_nodes
from tritonseg_steps.contract import NORMALIZED, SCORES

LARGEST_HALF = 65504.0
SMALLEST_NORMAL_HALF = 2.0**-14
HEADROOM = 8.0
"""Factor by which values of pictures to come may exceed those of the calibration pictures."""
RESOLVED_BELOW_PEAK = 16.0
"""A tensor whose largest value is less than this many times the smallest normal fp16 number has
most of its values among the subnormal ones, which lose up to all their digits."""
POSITIONS = 256
"""A softmax over more entries than a class map has classes runs over positions. Over the 131,072
positions of OCRNet at 1024x2048 the mean probability is 7.6e-6, subnormal in fp16."""
REASON_RANGE = "values from {lowest:.4g} to {highest:.4g} of {values} do not fit fp16"
REASON_CONSTANT = "constant {tensor!r} with values up to {magnitude:.4g} does not fit fp16"
REASON_SOFTMAX = "softmax over positions"
REASON_FRONT = "prepares the picture for the first layer"
REASON_PRODUCT = "reads a softmax over positions"
REASON_PATTERN = "named by {pattern!r}"
REASON_OPERATOR = "ONNX has it in no fp16"
WITHOUT_HALF = ("Range",)
"""ONNX Runtime's converter types them all the same."""
BIAS_INPUT = 2
"""Of Conv, ConvTranspose and Gemm."""
PASSING_OPERATORS = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")


def sensitive_nodes(
    model: onnx.ModelProto, ranges: Mapping[str, Range], patterns: Sequence[str] = ()
) -> dict[str, str]:
    """Return the names of the nodes to keep in fp32, each with the reason.

    Args:
        model: In fp32; every node has a name.
        ranges: Of its tensors, by name, as far as they were measured.
        patterns: Shell patterns of node names, e.g. `*/last_layer/*`.

    Raises:
        SpecificationError: A pattern matches no node.
    """
    reasons: dict[str, str] = {}
    edited = editable(model)
    constants = _constant_magnitudes(edited.graph)
    for node in model.graph.node:
        reason = _range_reason(node, ranges) or _constant_reason(node, constants)
        if node.op_type in WITHOUT_HALF:
            reason = REASON_OPERATOR
        if reason is not None:
            reasons[node.name] = reason
    for name, reason in _softmax_rule(edited):
        reasons.setdefault(name, reason)
    for front in front_nodes(edited.graph):
        reasons.setdefault(front.name or "", REASON_FRONT)
    for name, reason in named_nodes(model, patterns).items():
        reasons.setdefault(name, reason)
    return reasons


def named_nodes(model: onnx.ModelProto, patterns: Sequence[str]) -> dict[str, str]:
    """Return the nodes that patterns name, each with the pattern as its reason.

    Raises:
        SpecificationError: A pattern matches no node.
    """
    return {
        name: REASON_PATTERN.format(pattern=pattern)
        for pattern in patterns
        for name in _matching(model.graph, pattern)
    }


def _range_reason(node: onnx.NodeProto, ranges: Mapping[str, Range]) -> str | None:
    """A node is kept for its inputs too: that is where fp16 would have cut them off."""
    for tensor in (*node.output, *node.input):
        measured = ranges.get(tensor)
        if measured is not None and not _fits_half(measured.magnitude):
            return REASON_RANGE.format(
                lowest=measured.lowest, highest=measured.highest, values=_called(tensor)
            )
    return None


def _constant_reason(node: onnx.NodeProto, constants: Mapping[str, float]) -> str | None:
    for index, tensor in enumerate(node.input):
        magnitude = constants.get(tensor, 0.0)
        # What is added may vanish: it is small beside what it is added to, or that is kept.
        added = node.op_type in ("Add", "Sub") or index == BIAS_INPUT
        vanishes = 0 < magnitude < SMALLEST_NORMAL_HALF and not added
        if vanishes or magnitude >= LARGEST_HALF:
            return REASON_CONSTANT.format(tensor=tensor, magnitude=magnitude)
    return None


def _called(tensor: str) -> str:
    """Return what a user knows a tensor by: the steps' names for the two ends are ours."""
    return {NORMALIZED: "the normalized picture", SCORES: "the scores"}.get(tensor, repr(tensor))


def _fits_half(magnitude: float) -> bool:
    smallest = SMALLEST_NORMAL_HALF * RESOLVED_BELOW_PEAK
    return magnitude == 0 or smallest <= magnitude <= LARGEST_HALF / HEADROOM


def _constant_magnitudes(graph: ir.Graph) -> dict[str, float]:
    """Return the largest absolute value of every float constant.

    Infinite ones count: the converter cuts them to fp16's largest. A Resize's scales are no fp16 in
    any case, and are ordinary numbers.
    """
    magnitudes = {}
    for name, initializer in graph.initializers.items():
        values = constant_value(initializer)
        if values is not None and values.dtype == np.float32:
            magnitudes[name] = float(np.abs(values).max(initial=0.0))
    return magnitudes


def _softmax_rule(model: ir.Model) -> Iterator[tuple[str, str]]:
    """Yield every softmax over positions, and the nodes that read its probabilities."""
    values = inferred_values(model)
    for node in model.graph:
        if node.op_type not in ("Softmax", "LogSoftmax"):
            continue
        read = node.inputs[0]
        shape = None if read is None else dimensions(values[read.name or ""])
        length = shape[node.attributes.get_int("axis", -1)] if shape else None
        if length is None or length > POSITIONS:
            yield node.name or "", REASON_SOFTMAX
            for reader in _readers(node.outputs[0]):
                yield reader.name or "", REASON_PRODUCT


def _readers(value: ir.Value) -> Iterator[ir.Node]:
    """Yield the nodes that read a tensor, also after a change of shape only."""
    for node in value.consumers():
        yield node
        if node.op_type in PASSING_OPERATORS:
            yield from _readers(node.outputs[0])


def _matching(graph: onnx.GraphProto, pattern: str) -> list[str]:
    names = [node.name for node in graph.node]
    matching = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
    if not matching:
        raise SpecificationError(
            f"--keep-fp32 {pattern!r}: expected the name of a node, or a pattern of it, "
            f"as in {names[0]!r}; it matches none of {len(names)}"
        )
    return matching
