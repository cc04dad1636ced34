"""What a network takes of a GPU, from its own shapes and the GPU's data sheet; no measurements.

Memory is a bound: constants that layers multiply with, those of equal values once, and the
network's inputs and outputs. What lies between a compiler may fuse away, and is left out.

Time is a roofline: the multiply-accumulates at the peak of their precision, or the same bytes once
through the GPU's memory, whichever takes longer. A kernel that multiplies less (Winograd's of a 3x3
convolution) may beat it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import onnx

from tritonseg_engines.gate.layer_precision import LayerPrecision
from tritonseg_engines.graph.lasting_constants import LastingConstant, constants_of, running_nodes
from tritonseg_engines.graph.multiplications import MULTIPLYING
from tritonseg_engines.graph.onnx_file import graph_inputs
from tritonseg_engines.graph.sized_tensors import SizedTensor
from tritonseg_engines.preflight.gpu_peaks import PEAKS
from tritonseg_engines.tensorrt.number_types import BITS, number_type

NAMED: Final = {
    "T4": "Tesla T4",
    "A10": "NVIDIA A10",
    "L4": "NVIDIA L4",
    "A100": "NVIDIA A100-SXM4-80GB",
    "H100": "NVIDIA H100 80GB HBM3",
}
"""GPUs that one rents, by their names in `PEAKS`."""
COMPUTED_IN: Final = {"fp64": "fp32"}
"""TensorRT's own choice."""
LEAST_BITS, MOST_BITS = 8, 32
"""Of one number at inputs and outputs: of a type that is not known, and of float64."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Least memory, and time by the roofline, for one picture at a time.

    Attributes:
        weights_bytes: Of the constants that layers multiply with.
        memory_bytes: Of these, inputs and outputs.
        roofline_ms: Milliseconds by GPU.
        lacking: Precision that a GPU has no hardware for, by GPU; it has no time.
    """

    weights_bytes: int
    memory_bytes: int
    roofline_ms: Mapping[str, float]
    lacking: Mapping[str, str]


def bounds_of(
    model: onnx.ModelProto,
    tensors: Mapping[str, SizedTensor],
    layers: Sequence[LayerPrecision],
) -> Bounds:
    """Return the bounds of a graph.

    Args:
        model: The graph.
        tensors: Its tensors, for one picture.
        layers: Its layers that multiply, as `asked_layers` lists them.
    """
    multiplying = [node for node in model.graph.node if node.op_type in MULTIPLYING]
    rows = {node.output[0]: layer for node, layer in zip(multiplying, layers, strict=True)}
    running = running_nodes(model)
    asked = {node.output[0]: rows[node.output[0]] for node in running if node.output[0] in rows}
    macs: Counter[str] = Counter()
    for layer in asked.values():
        if layer.macs:
            macs[COMPUTED_IN.get(layer.asked, layer.asked)] += layer.macs
    read = {name for node in running for name in node.input}
    ends = [value.name for value in graph_inputs(model.graph) if value.name in read]
    ends += [value.name for value in model.graph.output]
    held = [node for node in running if node.output[0] in asked]
    weights = _weights_bytes(constants_of(model, held), asked, tensors)
    memory = weights + _boundary_bytes(ends, tensors)
    lacking = {
        name: precision
        for name, full in NAMED.items()
        for precision in macs
        if precision not in PEAKS[full].tflops
    }
    return Bounds(
        weights_bytes=weights,
        memory_bytes=memory,
        roofline_ms={
            name: PEAKS[full].least_ms(macs, memory)
            for name, full in NAMED.items()
            if name not in lacking
        },
        lacking=lacking,
    )


def _weights_bytes(
    constants: Iterable[tuple[onnx.NodeProto, LastingConstant]],
    asked: Mapping[str, LayerPrecision],
    tensors: Mapping[str, SizedTensor],
) -> int:
    """Return the bytes of constants, in the fewest bits that they have on the way to a layer."""
    least: dict[bytes, int] = {}
    for node, constant in constants:
        types = [_type_of(tensors.get(name)) for name in constant.path]
        types.append(asked[node.output[0]].asked)
        bits = constant.elements * min(BITS.get(name, 0) for name in types)
        least[constant.digest] = min(least.get(constant.digest, bits), bits)
    return sum(least.values()) // 8


def _boundary_bytes(names: Iterable[str], tensors: Mapping[str, SizedTensor]) -> int:
    sized = [tensors[name] for name in names if name in tensors]
    return sum(
        tensor.elements * min(BITS.get(_type_of(tensor), LEAST_BITS), MOST_BITS) // 8
        for tensor in sized
    )


def _type_of(tensor: SizedTensor | None) -> str:
    """Return what this project calls a tensor's type; "" where it is not known."""
    if tensor is None:
        return ""
    return number_type(onnx.TensorProto.DataType.Name(tensor.element_type))
