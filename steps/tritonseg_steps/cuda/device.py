"""What the CUDA kernels need of a GPU, and CuPy as the one that gives it.

CuPy is imported only when a GPU is opened, so that CPU servers do without it.
"""

from __future__ import annotations

import importlib
from importlib import resources
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

DeviceArray = Any
"""An array in the GPU's memory, C-contiguous, with NumPy's `shape`, `dtype` and indexing."""

Extent = tuple[int, int]
"""(rows, columns) that a kernel covers, one thread each."""

BLOCK: Final = (32, 8, 1)
"""Threads of a block along (columns, rows, 1): a warp is a stretch of one row."""


class CudaUnavailableError(RuntimeError):
    """There is no GPU to compute on, or not what it takes to use it."""


class Device(Protocol):
    """A GPU that runs the kernels of `kernels.cu` in the order of the calls."""

    def upload(self, host: NDArray[Any]) -> DeviceArray:
        """Copy an array to the GPU; it must not change before `synchronize`."""

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceArray:
        """Return uninitialised memory of the GPU."""

    def download(self, array: DeviceArray) -> NDArray[Any]:
        """Copy an array from the GPU, after everything launched before."""

    def launch(self, kernel: str, extent: Extent, *arguments: DeviceArray | np.generic) -> None:
        """Start a kernel; scalars are of exactly the parameter's type (`np.int32`, ...)."""

    def synchronize(self) -> None:
        """Wait until everything started before is done."""


class CupyDevice:
    """One GPU through CuPy, on the default stream.

    Args:
        index: The GPU's number; Triton passes it as `model_instance_device_id`.

    Raises:
        CudaUnavailableError: CuPy is not installed, or finds no such GPU or no compiler.
    """

    def __init__(self, index: int) -> None:
        self._cupy, self._cupyx = _import_cupy()
        self._gpu = self._cupy.cuda.Device(index)
        try:
            with self._gpu:
                self._module = self._cupy.RawModule(code=source())
                self._module.compile()
        except (RuntimeError, OSError, self._cupy.cuda.compiler.CompileException) as error:
            raise CudaUnavailableError(
                f"GPU {index}: CuPy {self._cupy.__version__} cannot load the kernels: {error}. See "
                "whether `nvidia-smi` lists the GPU, and whether CuPy's CUDA fits its driver"
            ) from error

    def upload(self, host: NDArray[Any]) -> DeviceArray:
        """Copy an array to the GPU; it must not change before `synchronize`."""
        array = self.empty(host.shape, host.dtype)
        with self._gpu:
            array.set(np.ascontiguousarray(host))
        return array

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceArray:
        """Return memory from CuPy's pool."""
        with self._gpu:
            return self._cupy.empty(shape, dtype)

    def download(self, array: DeviceArray) -> NDArray[Any]:
        """Copy an array into pinned memory and wait for it."""
        host: NDArray[Any] = self._cupyx.empty_pinned(array.shape, array.dtype)
        with self._gpu:
            array.get(out=host)
        return host

    def launch(self, kernel: str, extent: Extent, *arguments: DeviceArray | np.generic) -> None:
        """Start a kernel on the current stream."""
        with self._gpu:
            self._module.get_function(kernel)(grid_of(extent), BLOCK, arguments)

    def synchronize(self) -> None:
        """Wait for the current stream."""
        with self._gpu:
            self._cupy.cuda.get_current_stream().synchronize()


def grid_of(extent: Extent) -> tuple[int, int, int]:
    """Return how many blocks cover an extent, along (columns, rows, 1)."""
    rows, columns = extent
    return -(-columns // BLOCK[0]), -(-rows // BLOCK[1]), 1


def source() -> str:
    """Return the text of `kernels.cu`."""
    return resources.files(__package__).joinpath("kernels.cu").read_text(encoding="utf-8")


def _import_cupy() -> tuple[Any, Any]:
    try:
        return importlib.import_module("cupy"), importlib.import_module("cupyx")
    except ImportError as error:
        raise CudaUnavailableError(
            "the argmax step of this model runs on a GPU, which takes CuPy in the Python of the "
            "server: install tritonseg with the extra `gpu` there, or build the model without "
            "--gpu-argmax"
        ) from error
