"""What values the tensors of a network take on pictures, in bounded memory.

Ranges are reduced inside the graph, so that a tensor lives no longer than it would anyway.
Histograms need the tensors themselves: they come out in groups that fit a budget, one group of
one picture at a time, and only counts are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tritonseg_engines.graph.onnx_file import graph_inputs, inferred_values
from tritonseg_engines.running.networks import one_batch_shapes, onnx_session, run_session

OUTPUT_BUDGET_BYTES = 256 << 20
"""Of the tensors that one run returns; a single larger one comes alone."""
BINS = 2048
FLOAT_BYTES = 4

Batches = Callable[[], Iterable[NDArray[np.float32]]]
"""Returns the network's inputs `(1, 3, h, w)`, one at a time, anew at every call."""
Pass = Callable[[int], None]
"""Called with the number of pictures done in this pass."""


@dataclass(frozen=True, slots=True)
class Range:
    """Smallest and largest value of a tensor."""

    lowest: float
    highest: float

    @property
    def magnitude(self) -> float:
        """Largest absolute value."""
        return max(abs(self.lowest), abs(self.highest))


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often absolute values fall into equal bins from 0 to `magnitude`.

    Attributes:
        counts: `(BINS,)` int64.
        magnitude: Upper edge of the last bin.
    """

    counts: NDArray[np.int64]
    magnitude: float

    @property
    def width(self) -> float:
        """Of one bin."""
        return self.magnitude / len(self.counts)


def float_tensors(model: onnx.ModelProto) -> list[str]:
    """Return the input and every float32 tensor that a node computes, in order."""
    values = inferred_values(model)
    names = [value.name for value in graph_inputs(model.graph)]
    names += [name for node in model.graph.node for name in node.output if name]
    return [
        name
        for name in names
        if name in values and values[name].type.tensor_type.elem_type == TensorProto.FLOAT
    ]


def activation_ranges(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    batches: Batches,
    progress: Pass | None = None,
) -> dict[str, Range]:
    """Return the range of tensors over all batches.

    Args:
        model: With float32 activations.
        tensors: Names out of `float_tensors`.
        batches: The pictures.
        progress: Told after every one.

    Raises:
        OnnxModelError: ONNX Runtime does not take the model, or a picture.
    """
    observed = _with_outputs(model, [])
    reductions = [
        (tensor, op_type, f"{tensor}/{op_type}")
        for tensor in tensors
        for op_type in ("ReduceMin", "ReduceMax")
    ]
    for tensor, op_type, result in reductions:
        observed.graph.node.append(helper.make_node(op_type, [tensor], [result], keepdims=0))
        observed.graph.output.append(helper.make_tensor_value_info(result, TensorProto.FLOAT, []))
    session = onnx_session(observed)
    lowest = dict.fromkeys(tensors, math.inf)
    highest = dict.fromkeys(tensors, -math.inf)
    name = session.get_inputs()[0].name
    for done, batch in enumerate(batches(), start=1):
        values = run_session(session, {name: batch}, [result for *_, result in reductions])
        for tensor, low, high in zip(tensors, values[::2], values[1::2], strict=True):
            lowest[tensor] = min(lowest[tensor], float(low))
            highest[tensor] = max(highest[tensor], float(high))
        if progress is not None:
            progress(done)
    return {tensor: Range(lowest[tensor], highest[tensor]) for tensor in tensors}


def activation_histograms(
    model: onnx.ModelProto,
    ranges: Mapping[str, Range],
    batches: Batches,
    progress: Pass | None = None,
) -> dict[str, Histogram]:
    """Return histograms of the absolute values of tensors over all batches.

    Args:
        model: With float32 activations.
        ranges: Of the tensors, from the same batches.
        batches: The pictures; gone through once for every group of tensors.
        progress: Told after every one, counted over all groups.

    Raises:
        OnnxModelError: ONNX Runtime does not take the model, or a picture.
    """
    counts = {tensor: np.zeros(BINS, np.int64) for tensor in ranges}
    size_hw = next(iter(batches())).shape[2:]
    done = 0
    for group in tensor_groups(model, list(ranges), (size_hw[0], size_hw[1])):
        session = onnx_session(_with_outputs(model, group))
        name = session.get_inputs()[0].name
        for batch in batches():
            for tensor, values in zip(
                group, run_session(session, {name: batch}, group), strict=True
            ):
                counts[tensor] += _absolute_counts(values, ranges[tensor].magnitude)
            done += 1
            if progress is not None:
                progress(done)
    return {tensor: Histogram(counts[tensor], ranges[tensor].magnitude) for tensor in ranges}


def tensor_groups(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    size_hw: tuple[int, int],
    budget_bytes: int = OUTPUT_BUDGET_BYTES,
) -> Iterator[list[str]]:
    """Yield the tensors in groups whose sizes for one picture stay within a budget."""
    shapes = one_batch_shapes(model, size_hw)
    group: list[str] = []
    used = 0
    for tensor in tensors:
        dims = shapes.get(tensor) or [None]
        known = [dim for dim in dims if dim is not None]
        size = FLOAT_BYTES * math.prod(known) if len(known) == len(dims) else budget_bytes
        if group and used + size > budget_bytes:
            yield group
            group, used = [], 0
        group.append(tensor)
        used += size
    if group:
        yield group


def _with_outputs(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """Return a copy that returns these tensors and nothing else."""
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    del observed.graph.output[:]
    observed.graph.output.extend(
        helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None) for tensor in tensors
    )
    return observed


def _absolute_counts(values: NDArray[np.float32], magnitude: float) -> NDArray[np.int64]:
    if not magnitude > 0:
        return np.zeros(BINS, np.int64)
    counts, _ = np.histogram(np.abs(values), bins=BINS, range=(0.0, magnitude))
    return counts.astype(np.int64, copy=False)
