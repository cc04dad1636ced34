"""The least time that a GPU could take for a network, from what it must compute and must move.

Counted are the multiply-accumulates of convolutions and matrix products at the peak of the
network's precision, and the weights once per batch and input and scores once per picture at the
peak of the memory. Everything between input and scores is taken to stay on the chip, which large
pictures do not: the bound cannot be reached, and a share of it compares plans with each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import onnx

from tritonseg_engines.build.prepared import Prepared

WEIGHT_BYTES: Final = {"fp32": 4, "fp16": 2, "int8": 1}
BOUNDARY_BYTES: Final = 4
"""NORMALIZED and SCORES are float32 in every precision."""
FLOPS_PER_MAC: Final = 2
SMALLEST_WEIGHT_RANK: Final = 2
"""Biases and other vectors do not count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuPeaks:
    """What a data sheet promises.

    Attributes:
        tflops: 10^12 operations per second by precision, without sparsity: "fp32" outside of
            tensor cores (plans are built without TF32), "fp16" and "int8" inside.
        bandwidth_gb_s: 10^9 bytes per second of the GPU's memory.
    """

    tflops: Mapping[str, float]
    bandwidth_gb_s: float


def _peaks(fp32: float, fp16: float, int8: float, bandwidth_gb_s: float) -> GpuPeaks:
    return GpuPeaks(
        tflops={"fp32": fp32, "fp16": fp16, "int8": int8}, bandwidth_gb_s=bandwidth_gb_s
    )


PEAKS: Final[Mapping[str, GpuPeaks]] = {
    "Tesla T4": _peaks(8.1, 65, 130, 300),
    "NVIDIA A10": _peaks(31.2, 125, 250, 600),
    "NVIDIA A100-SXM4-40GB": _peaks(19.5, 312, 624, 1555),
    "NVIDIA A100-PCIE-40GB": _peaks(19.5, 312, 624, 1555),
    "NVIDIA A100-SXM4-80GB": _peaks(19.5, 312, 624, 2039),
    "NVIDIA A100 80GB PCIe": _peaks(19.5, 312, 624, 1935),
    "NVIDIA L4": _peaks(30.3, 121, 242, 300),
    "NVIDIA L40S": _peaks(91.6, 362, 733, 864),
    "NVIDIA GeForce RTX 4090": _peaks(82.6, 330, 661, 1008),
    "NVIDIA H100 80GB HBM3": _peaks(67, 989, 1979, 3350),
    "NVIDIA H100 PCIe": _peaks(51, 756, 1513, 2000),
    "NVIDIA H100 NVL": _peaks(60, 835, 1671, 3900),
    "NVIDIA H200": _peaks(67, 989, 1979, 4800),
    "NVIDIA H200 NVL": _peaks(60, 835, 1671, 4800),
}
"""By the name that CUDA gives.

Source: NVIDIA's data sheets of the T4, A10, A100, L4, L40S, H100 and H200, and the Ada
architecture white paper for the RTX 4090 (fp16 with fp16 accumulation). Where a sheet states
tensor figures with sparsity only, half of them.
"""


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
    operations = FLOPS_PER_MAC * work.macs * batch
    moved_bytes = work.weight_bytes + work.picture_bytes * batch
    compute_s = operations / (peaks.tflops[precision] * 1e12)
    memory_s = moved_bytes / (peaks.bandwidth_gb_s * 1e9)
    return 1000 * max(compute_s, memory_s)


def _weights(graph: onnx.GraphProto) -> int:
    count = 0
    for tensor in graph.initializer:
        if len(tensor.dims) >= SMALLEST_WEIGHT_RANK:
            elements = 1
            for side in tensor.dims:
                elements *= side
            count += elements
    return count
