"""NVIDIA's runtime compiler from its PyPI wheel, which needs neither a GPU nor a driver."""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

PACKAGE = "nvidia.cuda_nvrtc"


def ptx_of(source: str, architecture: str) -> str:
    """Compile CUDA C++ to PTX with nothing but its own built-in declarations.

    Args:
        source: The text.
        architecture: `compute_75` and so on.

    Returns:
        The PTX.

    Raises:
        AssertionError: The compiler is not installed, or had anything to say.
    """
    library = ctypes.CDLL(str(_library()))
    program = ctypes.c_void_p()
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture={architecture}".encode())
    created = library.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None
    )
    assert created == 0, f"NVRTC error {created}"
    try:
        failed = library.nvrtcCompileProgram(program, 1, options)
        log = _text(library, program, "ProgramLog").strip()
        assert not failed, log
        assert not log, log
        return _text(library, program, "PTX")
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _text(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> str:
    size = ctypes.c_size_t()
    assert getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)) == 0
    text = ctypes.create_string_buffer(size.value)
    assert getattr(library, f"nvrtcGet{what}")(program, text) == 0
    return text.value.decode()


def _library() -> Path:
    try:
        spec = importlib.util.find_spec(PACKAGE)
    except ModuleNotFoundError:
        spec = None
    assert spec is not None, "install nvidia-cuda-nvrtc-cu12, which the test dependency group names"
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0])
    (library,) = folder.glob("lib/libnvrtc.so.*[0-9]")
    return library
