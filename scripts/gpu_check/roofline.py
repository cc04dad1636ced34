"""The least time that a GPU could take for a network, from what it must compute and must move.

Counted are the multiply-accumulates of convolutions and matrix products at the peak of the
network's precision, and the weights once per batch and input and scores once per picture at the
peak of the memory. Everything between input and scores is taken to stay on the chip, which large
pictures do not: the bound cannot be reached, and a share of it compares plans with each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import onnx

from tritonseg_engines.build.prepared import Prepared
from tritonseg_engines.preflight.gpu_peaks import GpuPeaks

WEIGHT_BYTES: Final = {"fp32": 4, "fp16": 2, "int8": 1}
BOUNDARY_BYTES: Final = 4
"""NORMALIZED and SCORES are float32 in every precision."""
SMALLEST_WEIGHT_RANK: Final = 2
"""Biases and other vectors do not count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What one network must compute and move.

    Attributes:
        macs: Multiply-accumulates for one picture.
        weight_bytes: Read once per batch.
        picture_bytes: Input and scores of one picture.
    """

    macs: int
    weight_bytes: int
    picture_bytes: int


def work_of(prepared: Prepared, precision: str, macs: int) -> Work:
    """Return the work of a network of fixed size.

    Args:
        prepared: In fp32; what is counted does not depend on the conversion.
        precision: Of the weights.
        macs: Multiply-accumulates for one picture.
    """
    height, width = prepared.sizes.input_hw
    elements = 3 * (height or 0) * (width or 0)
    scores = 1
    for side in prepared.output_dims:
        scores *= side or 0
    return Work(
        macs=macs,
        weight_bytes=_weights(prepared.network.graph) * WEIGHT_BYTES[precision],
        picture_bytes=(elements + scores) * BOUNDARY_BYTES,
    )


def least_ms(work: Work, batch: int, precision: str, peaks: GpuPeaks) -> float:
    """Return the milliseconds below which no batch can be done."""
    moved_bytes = work.weight_bytes + work.picture_bytes * batch
    return peaks.least_ms({precision: work.macs * batch}, moved_bytes)


def _weights(graph: onnx.GraphProto) -> int:
    count = 0
    for tensor in graph.initializer:
        if len(tensor.dims) >= SMALLEST_WEIGHT_RANK:
            elements = 1
            for side in tensor.dims:
                elements *= side
            count += elements
    return count
