"""A machine with a GPU, as `inspect_machine` would describe it, for tests that have none."""

from __future__ import annotations

from tritonseg_engines.tensorrt import Gpu, Machine

TENSORRT_VERSION = "10.16.1.11"
L4 = Gpu(
    name="NVIDIA L4",
    compute_capability="8.9",
    memory_bytes=24 * 2**30,
    driver_version=None,
    cuda_version="12.8",
)
L4_MACHINE = Machine(gpus=(L4,), tensorrt_version=TENSORRT_VERSION)
