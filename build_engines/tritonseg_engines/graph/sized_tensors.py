"""Shape and type of every tensor of a graph, for inputs of a given size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from tritonseg_engines.graph.onnx_file import dimensions, graph_inputs, inferred_values


@dataclass(frozen=True, slots=True)
class SizedTensor:
    """One tensor; its element type is `onnx.TensorProto`'s number."""

    shape: tuple[int, ...]
    element_type: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def sized_tensors(
    model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]]
) -> dict[str, SizedTensor]:
    """Return the tensors whose whole shape ONNX can infer, by name; constants among them.

    Args:
        model: Not changed.
        input_shapes: Every input's whole shape.
    """
    sized = onnx.ModelProto()
    sized.CopyFrom(model)
    for value in graph_inputs(sized.graph):
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, input_shapes[value.name], strict=True):
            dim.dim_value = size
    for value in (*sized.graph.value_info, *sized.graph.output):  # of the sizes left open
        value.type.tensor_type.ClearField("shape")
    found = {
        tensor.name: SizedTensor(tuple(tensor.dims), tensor.data_type)
        for tensor in sized.graph.initializer
    }
    for name, value in inferred_values(sized).items():
        sizes = dimensions(value)
        if sizes is not None and None not in sizes:
            shape = tuple(size for size in sizes if size is not None)
            found[name] = SizedTensor(shape, value.type.tensor_type.elem_type)
    return found
