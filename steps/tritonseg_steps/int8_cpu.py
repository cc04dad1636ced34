"""Which int8 arithmetic a CPU has, and which weights it computes rightly.

Without VNNI, an int8 convolution multiplies with VPMADDUBSW, which adds two neighbouring products
in 16 bits and saturates; with it (AVX512-VNNI, AVX-VNNI, AMX; Arm's dot product too), products are
summed in 32 bits. OpenVINO uses what there is and does not say which. Source: oneDNN, "Nuances of
int8 computations".

Imports OpenVINO only when asked about this machine.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

import numpy as np


class Int8Cpu(str, Enum):
    """What int8 weights are made for; AVX2's are right on every CPU."""

    AVX2 = "avx2"
    VNNI = "vnni"


INT8_WEIGHTS: Final = {
    Int8Cpu.AVX2: "7 bits, for every CPU",
    Int8Cpu.VNNI: "8 bits, for CPUs with VNNI",
}
"""In words."""
WEIGHT_BITS: Final = {Int8Cpu.AVX2: 7, Int8Cpu.VNNI: 8}
LARGEST_WEIGHT: Final = {Int8Cpu.AVX2: 64, Int8Cpu.VNNI: 128}
"""Magnitude up to which sums are right: activations are bytes of 0 to 255, and 255 * 64 + 255 * 64
is less than 2 ** 15."""
_PROBE_CHANNELS: Final = 16
_LARGEST_ACTIVATION, _LARGEST_INT8 = 255, 127


@functools.cache
def this_int8_cpu() -> Int8Cpu:
    """Return what OpenVINO's int8 kernels do on this machine, by running one.

    A flag of the processor would say less: the hypervisor, the build of OpenVINO and
    ONEDNN_MAX_CPU_ISA have a say too. Takes 20 to 60 ms.

    Raises:
        ModuleNotFoundError: OpenVINO is not installed.
    """
    expected = _LARGEST_ACTIVATION * _LARGEST_INT8 * _PROBE_CHANNELS
    return Int8Cpu.VNNI if _probe() == expected else Int8Cpu.AVX2


def recorded_int8_cpu(document: Mapping[str, Any], precision: str) -> Int8Cpu | None:
    """Return what a built file's weights are made for, as its config or manifest says.

    Args:
        document: May have the key "int8_cpu"; one that is older than the key has weights of 8 bits.
        precision: Of the build.
    """
    value = document.get("int8_cpu", Int8Cpu.VNNI if precision == "int8" else None)
    return None if value is None else Int8Cpu(value)


def unfit(needed: Int8Cpu | None) -> str | None:
    """Return why this machine computes int8 weights wrongly, or None if it does not.

    Args:
        needed: What they are made for; None if there are none.
    """
    if needed is not Int8Cpu.VNNI or this_int8_cpu() is Int8Cpu.VNNI:
        return None
    return "built for CPUs with VNNI; this one has AVX2 only: rebuild with --cpu avx2"


def _probe() -> float:
    """Return the sum of products of the largest activations and weights, as a convolution gives it.

    OpenVINO makes an int8 kernel of a FakeQuantize and a convolution with int8 weights.
    """
    import openvino as ov
    from openvino import opset13 as ops

    def constant(value: float) -> ov.Node:
        return ops.constant(np.array(value, np.float32))

    activations = ops.parameter([1, _PROBE_CHANNELS, 4, 4], ov.Type.f32)
    lowest, highest = constant(0), constant(_LARGEST_ACTIVATION)
    quantized = ops.fake_quantize(activations, lowest, highest, lowest, highest, 256)
    weights = np.full((_PROBE_CHANNELS, _PROBE_CHANNELS, 1, 1), _LARGEST_INT8, np.int8)
    dequantized = ops.multiply(ops.convert(ops.constant(weights), ov.Type.f32), constant(1))
    sums = ops.convolution(quantized, dequantized, [1, 1], [0, 0], [0, 0], [1, 1])
    compiled = ov.Core().compile_model(
        ov.Model([sums], [activations]), "CPU", {"INFERENCE_PRECISION_HINT": ov.Type.f32}
    )
    largest = np.full((1, _PROBE_CHANNELS, 4, 4), _LARGEST_ACTIVATION, np.float32)
    return float(compiled(largest)[0].max())
