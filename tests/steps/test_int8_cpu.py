"""Which int8 arithmetic there is, held against the processor's flags and against integers."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np
import pytest

from other_cpu import run_as_avx2
from tritonseg_steps.int8_cpu import (
    LARGEST_WEIGHT,
    Int8Cpu,
    recorded_int8_cpu,
    this_int8_cpu,
    unfit,
)

pytestmark = pytest.mark.int8_cpu
x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of x86-64")


def summed_in_16_bits(first: int, second: int) -> int:
    """VPMADDUBSW of the largest activation with two weights. Source: Intel SDM, volume 2."""
    return int(np.clip(255 * first + 255 * second, -(2**15), 2**15 - 1))


@x86
def test_the_kernels_are_those_of_the_processors_flags() -> None:
    flags = set(Path("/proc/cpuinfo").read_text(encoding="ascii").split())
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    has_vnni = bool(flags & {"avx512_vnni", "avx_vnni"}) and limit in ("ALL", "DEFAULT")
    assert this_int8_cpu() is (Int8Cpu.VNNI if has_vnni else Int8Cpu.AVX2)


@x86
def test_without_vnni_another_kernel_runs() -> None:
    done = run_as_avx2("-c", "from tritonseg_steps.int8_cpu import *; print(this_int8_cpu().value)")
    assert done.stdout == "avx2\n", done.stderr


def test_the_largest_weights_are_the_last_that_do_not_saturate() -> None:
    largest = LARGEST_WEIGHT[Int8Cpu.AVX2]
    for weight in (largest, -largest):
        assert summed_in_16_bits(weight, weight) == 2 * 255 * weight
    assert summed_in_16_bits(largest + 1, largest + 1) != 2 * 255 * (largest + 1)


def test_a_config_without_the_key_is_one_with_weights_of_8_bits() -> None:
    assert recorded_int8_cpu({}, "int8") is Int8Cpu.VNNI
    assert recorded_int8_cpu({}, "fp32") is None
    assert recorded_int8_cpu({"int8_cpu": None}, "fp32") is None
    assert recorded_int8_cpu({"int8_cpu": "avx2"}, "int8") is Int8Cpu.AVX2
    assert recorded_int8_cpu({"int8_cpu": "vnni"}, "fp32") is Int8Cpu.VNNI


def test_only_weights_for_vnni_can_be_unfit() -> None:
    assert unfit(None) is None
    assert unfit(Int8Cpu.AVX2) is None
    assert (unfit(Int8Cpu.VNNI) is None) == (this_int8_cpu() is Int8Cpu.VNNI)
