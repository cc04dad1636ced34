"""Memory, stream and clock of the GPU that a plan runs on: all that is used of CuPy."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.install_command import install_command
from tritonseg_engines.tensorrt.errors import TensorRTError, TensorRTUnavailableError

Shape = tuple[int, ...]


class Buffer(Protocol):
    """Memory for one tensor, contiguous in C order."""

    @property
    def address(self) -> int:
        """Where it begins on the device."""

    def upload(self, array: NDArray[Any]) -> None:
        """Copy from the host an array of the buffer's shape and type."""

    def download(self) -> NDArray[Any]:
        """Wait for the stream and return a copy on the host."""


class Device(Protocol):
    """One stream of one GPU. What is asked of it happens in the order in which it is asked."""

    @property
    def stream_handle(self) -> int:
        """The stream as TensorRT takes it."""

    def buffer(self, shape: Shape, dtype: np.dtype[Any]) -> Buffer:
        """Return memory whose content is undefined."""

    def synchronize(self) -> None:
        """Wait until all is done that was asked."""

    def elapsed_ms(self, enqueue: Callable[[], None]) -> float:
        """Return the milliseconds that the device spends on what the callback enqueues."""


def load_cupy() -> Any:
    """Import CuPy.

    Raises:
        TensorRTUnavailableError: It is not installed, or not for this machine's CUDA.
    """
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise TensorRTUnavailableError(
            f"CuPy, which holds the plan's tensors on the GPU, cannot be imported ({error}): "
            f"{install_command('gpu')}"
        ) from error


class CudaDevice:
    """The current GPU, with a stream of its own.

    Raises:
        TensorRTUnavailableError: There is no CuPy, or it finds no GPU that it can use.
    """

    def __init__(self) -> None:
        self._cupy = load_cupy()
        try:
            # TensorRT synchronizes the whole device at every inference on the default stream.
            self._stream = self._cupy.cuda.Stream(non_blocking=True)
        except RuntimeError as error:
            raise TensorRTUnavailableError(f"CuPy cannot use the GPU: {error}") from error

    @property
    def stream_handle(self) -> int:
        """The stream as TensorRT takes it."""
        return int(self._stream.ptr)

    def buffer(self, shape: Shape, dtype: np.dtype[Any]) -> Buffer:
        """Return memory whose content is undefined.

        Raises:
            TensorRTError: There is not enough of it.
        """
        try:
            with self._stream:
                array = self._cupy.empty(shape, dtype)
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            raise TensorRTError(f"no GPU memory for {dtype} of {shape}: {error}") from error
        return _CudaBuffer(array, self._stream)

    def synchronize(self) -> None:
        """Wait until all is done that was asked."""
        self._stream.synchronize()

    def elapsed_ms(self, enqueue: Callable[[], None]) -> float:
        """Return the milliseconds that the device spends on what the callback enqueues."""
        start, end = self._cupy.cuda.Event(), self._cupy.cuda.Event()
        start.record(self._stream)
        enqueue()
        end.record(self._stream)
        end.synchronize()
        return float(self._cupy.cuda.get_elapsed_time(start, end))


class _CudaBuffer:
    def __init__(self, array: Any, stream: Any) -> None:
        self._array, self._stream = array, stream

    @property
    def address(self) -> int:
        return int(self._array.data.ptr)

    def upload(self, array: NDArray[Any]) -> None:
        self._array.set(array, self._stream)
        # The copy may still read the caller's memory, who may write to it again.
        self._stream.synchronize()

    def download(self) -> NDArray[Any]:
        copy: NDArray[Any] = self._array.get(self._stream)
        self._stream.synchronize()
        return copy
