"""Ask this machine's CUDA driver and TensorRT who they are: a program of its own.

A broken driver, or TensorRT 8.6 without a GPU, ends the whole process with a signal; run apart,
it ends only this one. Started by `machine.inspect_machine` as a file, isolated (`python -I`), with
the caller's `sys.path` as JSON in its only argument; writes one JSON document to stdout. Imports
the standard library only.

Source of the calls: CUDA driver API reference (`cuda.h`), NVML API reference (`nvml.h`),
TensorRT's `NvInfer.h`.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import json
import sys
from typing import Any, Final

CUDA_SUCCESS: Final = 0
ATTRIBUTE_MAJOR: Final = 75
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR; MINOR is the next."""
NAME_BYTES: Final = 256
TENSORRT_LIBRARIES: Final = ("libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so.8")
FIRST_VERSION_WITH_TWO_DIGITS: Final = 10_000
"""From TensorRT 10 on, the version number is major * 10000 + minor * 100 + patch; before,
major * 1000 + minor * 100 + patch."""


class NoGpuError(Exception):
    """There is no GPU that CUDA can use; the text says why."""


def main(arguments: list[str]) -> None:
    """Print what is found as one JSON document."""
    sys.path[:] = json.loads(arguments[0])
    document: dict[str, Any] = {"gpus": [], "no_gpu_reason": None}
    try:
        document["gpus"] = gpus()
    except NoGpuError as error:
        document["no_gpu_reason"] = str(error)
    document["tensorrt_version"], document["no_tensorrt_reason"] = tensorrt_version()
    print(json.dumps(document))  # noqa: T201 - stdout is how a program answers


def gpus() -> list[dict[str, Any]]:
    """Return every GPU that CUDA shows to this process.

    Raises:
        NoGpuError: There is no driver, or it shows none.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise NoGpuError("no NVIDIA driver is installed (libcuda.so.1 was not found)") from None
    _check(cuda, cuda.cuInit(0))
    count = ctypes.c_int()
    _check(cuda, cuda.cuDeviceGetCount(ctypes.byref(count)))
    if not count.value:
        raise NoGpuError("the NVIDIA driver shows no GPU")
    versions = {"driver_version": _driver_version(), "cuda_version": _cuda_version(cuda)}
    return [{**_gpu(cuda, ordinal), **versions} for ordinal in range(count.value)]


def _gpu(cuda: ctypes.CDLL, ordinal: int) -> dict[str, Any]:
    device, major, minor, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(NAME_BYTES)
    _check(cuda, cuda.cuDeviceGet(ctypes.byref(device), ordinal))
    _check(cuda, cuda.cuDeviceGetName(name, NAME_BYTES, device))
    for offset, value in enumerate((major, minor)):
        attribute = ATTRIBUTE_MAJOR + offset
        _check(cuda, cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device))
    _check(cuda, cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device))
    return {
        "name": name.value.decode(errors="replace"),
        "compute_capability": f"{major.value}.{minor.value}",
        "memory_bytes": memory.value,
    }


def _cuda_version(cuda: ctypes.CDLL) -> str:
    version = ctypes.c_int()
    _check(cuda, cuda.cuDriverGetVersion(ctypes.byref(version)))
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def _driver_version() -> str | None:
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    version = ctypes.create_string_buffer(NAME_BYTES)
    if nvml.nvmlInit_v2() != 0:
        return None
    found = nvml.nvmlSystemGetDriverVersion(version, NAME_BYTES) == 0
    nvml.nvmlShutdown()
    return version.value.decode(errors="replace") if found else None


def _check(cuda: ctypes.CDLL, status: int) -> None:
    if status == CUDA_SUCCESS:
        return
    text = ctypes.c_char_p()
    cuda.cuGetErrorString(status, ctypes.byref(text))
    reason = text.value.decode(errors="replace") if text.value else "unknown error"
    raise NoGpuError(f"the NVIDIA driver refuses: {reason} (CUDA error {status})")


def tensorrt_version() -> tuple[str | None, str | None]:
    """Return TensorRT's version, or None and why there is none.

    The Python bindings know it in full; Triton's container has the library without them.
    """
    try:
        return str(importlib.import_module("tensorrt").__version__), None
    except ModuleNotFoundError:
        reason = "neither its Python package nor libnvinfer was found"
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        reason = f"its Python package cannot be imported: {error}"
    for name in (ctypes.util.find_library("nvinfer"), *TENSORRT_LIBRARIES):
        try:
            number = ctypes.CDLL(name).getInferLibVersion() if name else 0
        except (OSError, AttributeError):
            continue
        if number:
            return _dotted(number), None
    return None, reason


def _dotted(number: int) -> str:
    factor = 10_000 if number >= FIRST_VERSION_WITH_TWO_DIGITS else 1_000
    return f"{number // factor}.{number % factor // 100}.{number % 100}"


if __name__ == "__main__":
    main(sys.argv[1:])
