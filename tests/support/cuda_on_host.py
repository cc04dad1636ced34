"""A `Device` whose kernels are `kernels.cu` itself, compiled for the CPU.

What runs is the arithmetic and the addressing of the real kernels, and the launches of the real
Python around them; what is missing is only the GPU. Memory comes with guards on both sides, so that
a thread that writes outside its array is found, and starts out as garbage.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tritonseg_steps.cuda.device import BLOCK, Extent, grid_of, source

GUARD = 4096
GARBAGE = 0xA5
SHIM = Path(__file__).with_name("cuda_on_host.h")
KINDS = {"i": "i", "u": "i", "f": "f"}


def kernel_names() -> list[str]:
    """The kernels that `kernels.cu` defines."""
    return re.findall(r"__global__ void (\w+)\(", source())


def compile_for_host(folder: Path, *options: str) -> Path:
    """Compile the kernels into a shared library; a missing compiler is an error, not a skip."""
    compiler = shutil.which("g++")
    assert compiler, "these tests compile the CUDA kernels for the CPU and need g++ on the PATH"
    exports = "\n".join(f"EXPORT({name})" for name in kernel_names())
    unit = folder / "kernels.cpp"
    unit.write_text(f'#include "{SHIM}"\n{source()}\n{exports}\n')
    library = folder / "kernels.so"
    warnings = ("-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wno-unused-function")
    command = [compiler, "-std=c++17", "-O2", *warnings, *options, "-shared", "-fPIC", str(unit)]
    done = subprocess.run([*command, "-o", str(library)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return library


class HostDevice:
    """The kernels on the CPU, with arrays in host memory."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._owners: dict[int, NDArray[np.uint8]] = {}
        self.uploads = 0

    def upload(self, host: NDArray[Any]) -> NDArray[Any]:
        self.uploads += 1
        array = self._allocate(host.shape, host.dtype)
        array[...] = host
        return array

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return self._allocate(shape, dtype)

    def download(self, array: NDArray[Any]) -> NDArray[Any]:
        return array.copy()

    def synchronize(self) -> None:
        pass

    def launch(self, kernel: str, extent: Extent, *arguments: Any) -> None:
        """Run a kernel, after holding the arguments against its parameters."""
        kinds, sizes = self._signature(kernel)
        values: list[Any] = []
        assert len(arguments) == len(kinds), f"{kernel} takes {len(kinds)}, got {len(arguments)}"
        for argument, kind, size in zip(arguments, kinds, sizes, strict=True):
            if kind == "p":
                assert isinstance(argument, np.ndarray)
                assert argument.flags.c_contiguous
                values.append(ctypes.c_void_p(argument.ctypes.data))
            else:
                assert isinstance(argument, np.generic)
                assert (KINDS[argument.dtype.kind], argument.itemsize) == (kind, size)
                values.append(ctypes.create_string_buffer(argument.tobytes(), size))
        pointers = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        grid, block = ((ctypes.c_uint * 3)(*sizes) for sizes in (grid_of(extent), BLOCK))
        getattr(self._library, f"run_{kernel}")(grid, block, pointers)
        self._check_guards()

    def _signature(self, kernel: str) -> tuple[str, list[int]]:
        kinds, sizes = ctypes.create_string_buffer(64), (ctypes.c_uint * 64)()
        count = getattr(self._library, f"signature_of_{kernel}")(kinds, sizes)
        return kinds.raw[:count].decode(), list(sizes[:count])

    def _allocate(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        owner = np.full(GUARD + size + GUARD, GARBAGE, np.uint8)
        array = owner[GUARD : GUARD + size].view(dtype).reshape(shape)
        self._owners[owner.ctypes.data] = owner
        return array

    def _check_guards(self) -> None:
        for owner in self._owners.values():
            assert (owner[:GUARD] == GARBAGE).all(), "a thread wrote before its array"
            assert (owner[-GUARD:] == GARBAGE).all(), "a thread wrote behind its array"
