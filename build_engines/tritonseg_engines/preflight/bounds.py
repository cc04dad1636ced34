"""What a network takes of a GPU at least, from its own shapes and the GPU's data sheet.

Bounds, no measurements. Time: the multiply-accumulates of every layer at the peak of its precision,
or weights, input and output once through the memory, whichever takes longer; everything between
is taken to stay on the chip. Memory: the weights, and input and output of the layer with the
largest, which no kernel can do without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import onnx

from tritonseg_engines.gate.layer_precision import LayerPrecision
from tritonseg_engines.graph.multiplications import MULTIPLYING
from tritonseg_engines.graph.onnx_file import graph_inputs
from tritonseg_engines.graph.sized_tensors import SizedTensor
from tritonseg_engines.preflight.gpu_peaks import PEAKS

NAMED: Final = {
    "T4": "Tesla T4",
    "A10": "NVIDIA A10",
    "L4": "NVIDIA L4",
    "A100": "NVIDIA A100-SXM4-80GB",
    "H100": "NVIDIA H100 80GB HBM3",
}
"""GPUs that one rents, by their names in `PEAKS`."""
BYTES: Final = {"int8": 1, "fp16": 2, "bf16": 2, "fp32": 4, "fp64": 8}
PEAK_OF: Final = {"int8": "int8", "fp16": "fp16", "bf16": "fp16", "fp32": "fp32", "fp64": "fp32"}
"""What data sheets have for each precision."""
FASTEST: Final = "int8"
"""Of a precision that is not known, so that the bound is one all the same."""
BOUNDARY_BYTES: Final = {int(onnx.TensorProto.UINT8): 1, int(onnx.TensorProto.FLOAT16): 2}
WHOLE_WORD: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Least time and memory for one picture at a time.

    Attributes:
        memory_bytes: Of weights and tensors.
        least_ms: Milliseconds by GPU.
    """

    memory_bytes: int
    least_ms: Mapping[str, float]


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
    nodes = [node for node in model.graph.node if node.op_type in MULTIPLYING]
    weights, largest = 0, 0
    for node, layer in zip(nodes, layers, strict=True):
        read, weight, written = (
            BYTES.get(layer.asked, WHOLE_WORD) * _elements(tensors.get(name))
            for name in (*node.input[:2], node.output[0])
        )
        weights += weight
        largest = max(largest, read + written)
    macs: Counter[str] = Counter()
    for layer in layers:
        macs[PEAK_OF.get(layer.asked, FASTEST)] += layer.macs
    ends = (*graph_inputs(model.graph), *model.graph.output)
    moved = weights + sum(_boundary_bytes(tensors.get(value.name)) for value in ends)
    return Bounds(
        memory_bytes=weights + largest,
        least_ms={name: PEAKS[full].least_ms(macs, moved) for name, full in NAMED.items()},
    )


def _boundary_bytes(tensor: SizedTensor | None) -> int:
    if tensor is None:
        return 0
    return tensor.elements * BOUNDARY_BYTES.get(tensor.element_type, WHOLE_WORD)


def _elements(tensor: SizedTensor | None) -> int:
    return 0 if tensor is None else tensor.elements
