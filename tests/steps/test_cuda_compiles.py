"""The CUDA kernels compile for every GPU that the project names, and stay unfused.

Compiled by NVRTC, as CuPy does in the server; only running them needs a GPU (`tests/gpu`).
"""

from __future__ import annotations

import re

import pytest

from cuda_on_host import kernel_names
from nvrtc import ptx_of
from tritonseg_steps.cuda.device import source

# T4; A10 and RTX 30; L4, L40S and RTX 40; H100 and H200.
ARCHITECTURES = ["compute_75", "compute_86", "compute_89", "compute_90"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles(architecture: str) -> None:
    ptx = ptx_of(source(), architecture)
    assert sorted(re.findall(r"\.entry (\w+)\(", ptx)) == sorted(kernel_names())


def float_arithmetic(ptx: str) -> dict[str, set[str]]:
    """The float32 sums and products of every kernel, by their PTX instructions."""
    bodies = re.findall(r"\.entry (\w+)\((.*?)\n}", ptx, re.DOTALL)
    arithmetic = re.compile(r"\b(?:fma|mad|mul|add|sub)\.[\w.]*f32")
    return {name: set(arithmetic.findall(body)) for name, body in bodies}


def test_class_maps_are_computed_without_fused_or_fusible_arithmetic() -> None:
    """`fma` rounds once where the CPU rounds twice; `.rn` marks what must stay apart.

    The confidence is left out: its `exp` is made of fused operations.
    """
    used = float_arithmetic(ptx_of(source(), "compute_90"))
    assert used["upsample_argmax"] == {"mul.rn.f32", "add.rn.f32", "sub.rn.f32"}
    assert used["lowest_argmax"] == set()


def test_the_compiler_would_fuse_plain_arithmetic() -> None:
    plain = 'extern "C" __global__ void plain(float* x) { x[0] = x[0] * x[1] + x[2]; }'
    assert float_arithmetic(ptx_of(plain, "compute_90"))["plain"] == {"fma.rn.f32"}


def test_a_mistake_in_the_source_is_found() -> None:
    with pytest.raises(AssertionError, match="undefined"):
        ptx_of('extern "C" __global__ void broken() { missing(); }', "compute_75")
