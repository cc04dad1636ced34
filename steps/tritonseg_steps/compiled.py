"""How the loops are compiled, and where their machine code is kept.

Numba's cache is keyed by Python, Numba, the source (its contents; in older releases its time and
size), the types, and the CPU's name and features, so code for another CPU is never loaded. But it
is numbered in the same folder, and of two processes that write there at once one can put its code
under the other's number (`IndexDataCacheFile.save`, seen in 0.68). So every CPU has a folder of its
own, and every loop one form: whoever writes there at once writes the same.

An image brings the code along, where TRITONSEG_COMPILED says. It is for the CPUs of about ten
years, because an image is built on one CPU and run on another, and it is copied to Numba's cache,
because Numba reads only where it can write.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import numba
import numpy as np
from llvmlite import binding
from numba import njit
from numba.core.registry import cpu_target
from numpy.typing import NDArray

Loop = TypeVar("Loop", bound=Callable[..., Any])
Scalar = TypeVar("Scalar", bound=np.generic)

CONFIG: Final[Any] = numba.config
IN_TREE: Final = Path(__file__).parent / "__pycache__"
"""Where Numba keeps its cache unless NUMBA_CACHE_DIR says another place."""
SHIPPED: Final = "TRITONSEG_COMPILED"
"""Names the folder of the code that an image ships; unset, loops are compiled for the very CPU."""
PORTABLE_CPU: Final = "x86-64-v3"
PORTABLE_FEATURES: Final = frozenset(
    (
        *("cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"),
        *("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"),
    )
)
"""Source: x86-64 psABI, "Micro-Architecture Levels", x86-64-v3, in LLVM's words."""


def compiled(**options: Any) -> Callable[[Loop], Loop]:
    """Compile a loop on its first call, or take what an earlier process has compiled.

    Where no folder can be written, neither NUMBA_CACHE_DIR, nor this package's, nor the user's
    cache, every process compiles for itself.

    Args:
        **options: Of `numba.njit`.
    """

    def compile_later(loop: Loop) -> Loop:
        asked = CONFIG.CACHE_DIR
        CONFIG.CACHE_DIR = str(cache_directory())  # read while a function is decorated
        try:
            return _njit(loop, cache=True, **options)
        except RuntimeError:  # "no locator available"
            return _njit(loop, **options)
        finally:
            CONFIG.CACHE_DIR = asked

    return compile_later


def _njit(loop: Loop, **options: Any) -> Loop:
    dispatcher: Loop = njit(**options)(loop)
    return dispatcher


@lru_cache(1)
def cache_directory() -> Path:
    """Return this CPU's folder, where it can be written; Numba has others where it cannot."""
    shipped = os.environ.get(SHIPPED)
    if shipped and is_portable(binding.get_host_cpu_features()):
        CONFIG.CPU_NAME, CONFIG.CPU_FEATURES = PORTABLE_CPU, ""
    architecture, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    digest = hashlib.sha256(f"{architecture} {features}".encode()).hexdigest()[:12]
    directory = Path(CONFIG.CACHE_DIR or IN_TREE) / f"{cpu}-{digest}"
    if shipped:
        _copy_whole(Path(shipped, directory.name), directory)
    return directory


def is_portable(features: Mapping[str, bool]) -> bool:
    """Return whether a CPU runs the code that an image ships.

    Args:
        features: By LLVM's name whether the CPU has it.
    """
    present = {name for name, has in features.items() if has}
    return present >= PORTABLE_FEATURES


def _copy_whole(source: Path, target: Path) -> None:
    """Copy a folder that appears at once, unless it is there or cannot be written."""
    if target.exists() or not source.is_dir():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, ignore_cleanup_errors=True) as beside:
            copy = shutil.copytree(source, Path(beside, target.name))
            copy.rename(target)
    except OSError:
        pass  # another process was faster, or Numba will look elsewhere


def read_only(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """Return a view that cannot be written, as some pictures cannot.

    Numba compiles a loop once for arrays that can be written, and once for those that cannot.
    """
    view = array.view()
    view.flags.writeable = False
    return view
