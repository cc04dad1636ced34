"""What depends on the CPU's int8 kernels, once more as on a CPU without VNNI."""

from __future__ import annotations

from pathlib import Path

import pytest

from other_cpu import run_as_avx2
from tritonseg_steps.int8_cpu import Int8Cpu, this_int8_cpu


@pytest.mark.skipif(
    this_int8_cpu() is not Int8Cpu.VNNI, reason="this CPU has no VNNI: these tests ran on it as is"
)
def test_int8_holds_without_vnni() -> None:
    """A process of its own, because the kernels are chosen once."""
    folder = Path(__file__).parent
    done = run_as_avx2("-m", "pytest", "-q", "-m", "int8_cpu", folder, timeout_s=1500)
    assert done.returncode == 0, done.stdout[-8000:]
    assert " passed" in done.stdout.strip().splitlines()[-1]
