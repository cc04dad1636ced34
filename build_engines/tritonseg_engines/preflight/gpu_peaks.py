"""What the data sheets of GPUs promise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

FLOPS_PER_MAC: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuPeaks:
    """What a data sheet promises.

    Attributes:
        tflops: 10^12 operations per second by precision, without sparsity: "fp32" outside of
            tensor cores (plans are built without TF32), the others inside. A precision that the
            GPU has no hardware for is not among them.
        bandwidth_gb_s: 10^9 bytes per second of the GPU's memory.
    """

    tflops: Mapping[str, float]
    bandwidth_gb_s: float

    def least_ms(self, macs: Mapping[str, int], moved_bytes: int) -> float:
        """Return the milliseconds that so much takes at the peaks, whichever of the two is longer.

        Args:
            macs: Multiply-accumulates by precision, of those that `tflops` has.
            moved_bytes: Through the GPU's memory.
        """
        compute_s = sum(
            FLOPS_PER_MAC * count / (self.tflops[precision] * 1e12)
            for precision, count in macs.items()
        )
        return 1000 * max(compute_s, moved_bytes / (self.bandwidth_gb_s * 1e9))


def _turing(fp32: float, fp16: float, int8: float, bandwidth_gb_s: float) -> GpuPeaks:
    return GpuPeaks(
        tflops={"fp32": fp32, "fp16": fp16, "int8": int8}, bandwidth_gb_s=bandwidth_gb_s
    )


def _ampere(fp32: float, fp16: float, int8: float, bandwidth_gb_s: float) -> GpuPeaks:
    older = _turing(fp32, fp16, int8, bandwidth_gb_s)
    return replace(older, tflops={**older.tflops, "bf16": fp16})


def _ada_or_hopper(fp32: float, fp16: float, int8: float, bandwidth_gb_s: float) -> GpuPeaks:
    older = _ampere(fp32, fp16, int8, bandwidth_gb_s)
    return replace(older, tflops={**older.tflops, "fp8": int8})


PEAKS: Final[Mapping[str, GpuPeaks]] = {
    "Tesla T4": _turing(8.1, 65, 130, 300),
    "NVIDIA A10": _ampere(31.2, 125, 250, 600),
    "NVIDIA A100-SXM4-40GB": _ampere(19.5, 312, 624, 1555),
    "NVIDIA A100-PCIE-40GB": _ampere(19.5, 312, 624, 1555),
    "NVIDIA A100-SXM4-80GB": _ampere(19.5, 312, 624, 2039),
    "NVIDIA A100 80GB PCIe": _ampere(19.5, 312, 624, 1935),
    "NVIDIA L4": _ada_or_hopper(30.3, 121, 242, 300),
    "NVIDIA L40S": _ada_or_hopper(91.6, 362, 733, 864),
    "NVIDIA GeForce RTX 4090": _ada_or_hopper(82.6, 330, 661, 1008),
    "NVIDIA H100 80GB HBM3": _ada_or_hopper(67, 989, 1979, 3350),
    "NVIDIA H100 PCIe": _ada_or_hopper(51, 756, 1513, 2000),
    "NVIDIA H100 NVL": _ada_or_hopper(60, 835, 1671, 3900),
    "NVIDIA H200": _ada_or_hopper(67, 989, 1979, 4800),
    "NVIDIA H200 NVL": _ada_or_hopper(60, 835, 1671, 4800),
}
"""By the name that CUDA gives.

Source: NVIDIA's data sheets of the T4, A10, A100, L4, L40S, H100 and H200, and the Ada
architecture white paper for the RTX 4090 (fp16 with fp16 accumulation). Where a sheet states
tensor figures with sparsity only, half of them. bf16 is as fast as fp16 from Ampere on, fp8 as fast
as int8 from Ada and Hopper on; older GPUs have none.
"""
