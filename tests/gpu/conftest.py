"""What needs an NVIDIA GPU: skipped without one, with the reason that the machine gives.

`make gpu-check` runs this folder; a plain `pytest` does not look into it.
"""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tritonseg_engines.tensorrt import Machine, TensorRTUnavailableError, inspect_machine
from tritonseg_engines.tensorrt.device import CudaDevice

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    own = [item for item in items if HERE in Path(item.path).parents]
    reason = None if not own or this_machine().gpus else this_machine().no_gpu_reason
    for item in own:
        item.add_marker(pytest.mark.gpu)
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"needs a GPU: {reason}"))


@functools.cache
def this_machine() -> Machine:
    return inspect_machine()


@pytest.fixture(scope="session")
def machine() -> Machine:
    """A machine with a GPU, TensorRT and CuPy; skips where one is missing."""
    machine = this_machine()
    if machine.tensorrt_version is None:
        pytest.skip(f"needs TensorRT: {machine.no_tensorrt_reason}")
    try:
        CudaDevice()
    except TensorRTUnavailableError as error:
        pytest.skip(f"needs CuPy: {error}")
    return machine
