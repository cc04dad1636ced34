"""Where NVIDIA's compiler lies among the installed packages, and whether its parts fit.

Found without importing either package: one changes the process that imports it, the other needs
its libraries on the loader's path before Python starts.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tritonseg_engines.install_command import install_command
from tritonseg_engines.preflight.errors import PreflightUnavailableError
from tritonseg_engines.preflight.scratch import scratch_folder

BINDINGS: Final = "tensorrt_rtx_bindings"
LIBRARIES: Final = "onnxruntime_ep_nv_tensorrt_rtx"
"""ONNX Runtime's plugin for TensorRT-RTX: the one package of PyPI that has the libraries."""
NEEDED: Final = ("libtensorrt_rtx", "libtensorrt_onnxparser_rtx", "libcudart")
LICENCE: Final = "https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/reference/sla.html"
_VERSIONED: Final = re.compile(r"(?P<name>lib\w+)\.so\.(?P<version>\d+(?:\.\d+)*)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiler:
    """The installed compiler.

    Attributes:
        bindings: Folder of the Python bindings.
        files: The libraries, by the name that the loader looks for.
        version: Of the compiler's library.
    """

    bindings: Path
    files: dict[str, Path]
    version: str

    @contextmanager
    def library_path(self) -> Iterator[Path]:
        """Yield a folder in which the loader finds the libraries by the names they ask for."""
        with scratch_folder() as folder:
            for name, path in self.files.items():
                (folder / name).symlink_to(path)
            yield folder


def is_installed() -> bool:
    """Whether both packages are there."""
    return all(_folder(package) is not None for package in (BINDINGS, LIBRARIES))


def find_compiler() -> Compiler:
    """Return the installed compiler.

    Raises:
        PreflightUnavailableError: A package or a library in it is missing.
    """
    bindings, libraries = _folder(BINDINGS), _folder(LIBRARIES)
    if bindings is None or libraries is None:
        raise PreflightUnavailableError(
            "preflight asks NVIDIA's TensorRT-RTX, which is not installed: "
            f"{install_command('preflight')} (171 MB, under NVIDIA's licence, {LICENCE})"
        )
    found = dict(_versioned(libraries))
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise PreflightUnavailableError(
            f"{LIBRARIES} has no {', '.join(missing)}; install the extra again: "
            f"{install_command('preflight')}"
        )
    files = {}
    for name in NEEDED:
        path, version = found[name]
        files[f"{name}.so.{version.partition('.')[0]}"] = path
    return Compiler(bindings=bindings, files=files, version=found[NEEDED[0]][1])


def _versioned(folder: Path) -> Iterator[tuple[str, tuple[Path, str]]]:
    """Yield name, file and version of the libraries; aliases, which are shorter, come first."""
    for path in sorted(folder.glob("lib*.so.*"), key=lambda path: len(path.name)):
        match = _VERSIONED.match(path.name)
        if match is not None:
            yield match["name"], (path.resolve(), match["version"])


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))
