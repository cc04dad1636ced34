"""Find a `tritonserver` on this machine, and make the one from PyPI startable.

A `tritonserver` on the PATH (NVIDIA's container, or one's own build) comes with its backends and
is run as it is. The wheel `nvidia-pytriton` carries NVIDIA's binary, the Python backend and a stub
for every Python version, but not laid out as Triton expects them; only its files are used here,
PyTriton itself is never imported.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.install_command import install_command
from tritonseg_engines.serving.work_directory import refuse_noexec

WHEEL: Final = "nvidia-pytriton"
_NEWEST_PYTHON: Final = (3, 12)
"""The newest for which NumPy below 2 exists, which the wheel needs."""
_FIRST_WITH_NUMPY_2: Final = (2, 53)
_HELP_TIMEOUT_S: Final = 30.0
KEPT_BLOCKS: Final[Mapping[str, str]] = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
    "MALLOC_ARENA_MAX": "1",  # a thread's own holds 64 MiB, and goes when that is free
}
"""Have glibc keep freed blocks of tens of megabytes, up to 256 MiB, instead of giving them back to
the kernel, which clears every page of the next one (docs/serving_defaults.md has what each costs).
Source: mallopt(3), "Environment variables"."""
FOR_NUMPY_1: Final = "'numpy<2' 'opencv-python-headless<4.12'"
"""OpenCV 4.12 and later are for NumPy 2, and pip does not take an older one by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TritonInstallation:
    """One Triton on this machine.

    Attributes:
        executable: The `tritonserver` binary.
        version: Triton's version where a file tells it, such as "2.58.0"; otherwise None.
        wheel: The wheel that carries it, such as "nvidia-pytriton 0.7.0"; None on the PATH.
        python_backend: The Python backend's directory; None where Triton knows it itself.
        stub: Its stub for the running Python; None where the backend has its own.
        libraries: Directory of the shared libraries; None where the loader knows it itself.
    """

    executable: Path
    version: str | None = None
    wheel: str | None = None
    python_backend: Path | None = None
    stub: Path | None = None
    libraries: Path | None = None


def find_tritonserver() -> TritonInstallation:
    """Return the `tritonserver` on the PATH, else the one in the `nvidia-pytriton` wheel.

    Raises:
        ServerStartError: There is neither, or the wheel's lacks something here.
    """
    on_path = shutil.which("tritonserver")
    if on_path is not None:
        executable = Path(on_path)
        return TritonInstallation(executable=executable, version=_stated_version(executable))
    try:
        wheel = importlib.metadata.distribution(WHEEL)
    except importlib.metadata.PackageNotFoundError:
        raise ServerStartError(f"no tritonserver on this machine: {_install_hint()}") from None
    return _wheel_installation(wheel)


def _install_hint() -> str:
    """Return one line that says what to do here, where there is no Triton."""
    elsewhere = "put a tritonserver on the PATH, or run in NVIDIA's Triton container"
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        there = f"{sys.platform} on {platform.machine()}"
        return f"Triton's wheel exists for Linux on x86-64, this is {there}: {elsewhere}"
    if sys.version_info[:2] > _NEWEST_PYTHON:
        return (
            "Triton's wheel works with Python 3.10 to 3.12 (it needs NumPy below 2), this is "
            f"{platform.python_version()}: use an environment of one of those, or {elsewhere}"
        )
    return f"{install_command('serve')} brings one; or {elsewhere}"


def _stated_version(executable: Path) -> str | None:
    # Source: NVIDIA's images have /opt/tritonserver/TRITON_VERSION next to bin/.
    version_file = executable.resolve().parent.parent / "TRITON_VERSION"
    return version_file.read_text().strip() if version_file.is_file() else None


def _wheel_installation(wheel: importlib.metadata.Distribution) -> TritonInstallation:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    triton = Path(str(wheel.locate_file("pytriton/tritonserver")))
    installation = TritonInstallation(
        executable=triton / "bin" / "tritonserver",
        wheel=f"{WHEEL} {wheel.version}",
        python_backend=triton / "backends" / "python",
        stub=triton / "python_backend_stubs" / python / "triton_python_backend_stub",
        libraries=Path(str(wheel.locate_file("nvidia_pytriton.libs"))),
    )
    for part in (installation.executable, installation.python_backend, installation.stub):
        if part is None or not part.exists():
            raise ServerStartError(
                f"{installation.wheel} has no {part} (Python {python}): {_install_hint()}"
            )
    return installation


def known_options(
    installation: TritonInstallation, environment: Mapping[str, str]
) -> frozenset[str]:
    """Return the options that `tritonserver` lists in its help, such as `--id`; takes 0.1 s."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # the start will tell
        shown = subprocess.run(  # noqa: S603 - the server itself
            [installation.executable, "--help"],
            env=dict(environment),
            capture_output=True,
            timeout=_HELP_TIMEOUT_S,
            check=False,
        )
        text = (shown.stdout + shown.stderr).decode(errors="replace")
        return frozenset(re.findall(r"^\s+(--[a-z][a-z0-9-]*)", text, re.MULTILINE))
    return frozenset()


def refuse_numpy(installation: TritonInstallation) -> None:
    """Refuse a NumPy of which Triton's Python backend makes tensors without bytes, in silence.

    Source: python_backend #384, first in 24.12 (Triton 2.53); server #8301. Seen with 2.51 and
    NumPy 2.

    Raises:
        ServerStartError: This Python has such a NumPy.
    """
    version = installation.version or ""
    old = bool(version) and _numbers(version) < _FIRST_WITH_NUMPY_2
    installed = importlib.metadata.version("numpy")
    if (old or installation.wheel is not None) and _numbers(installed) >= (2,):
        triton = installation.wheel or f"Triton {version}"
        raise ServerStartError(
            f"the Python backend of {triton} makes empty tensors of NumPy {installed}: expected "
            f"NumPy below 2, install {FOR_NUMPY_1}; Triton takes NumPy 2 from 2.53 (24.12) on"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def lay_out_backends(installation: TritonInstallation, work_directory: Path) -> Path | None:
    """Make a backend directory in `work_directory`, as Triton expects one, of the wheel's files.

    Returns:
        The directory for `--backend-directory`; None where Triton's own default holds.

    Raises:
        ServerStartError: This Python has no shared library, which the stub needs, or no program
            can be run from there.
    """
    if installation.python_backend is None or installation.stub is None:
        return None
    refuse_noexec(work_directory)
    libpython = _shared_libpython()
    library_directory = work_directory / "lib"
    library_directory.mkdir()
    (library_directory / libpython.name).symlink_to(libpython)
    backend = work_directory / "backends" / "python"
    backend.mkdir(parents=True)
    library = "libtriton_python.so"
    (backend / library).symlink_to(installation.python_backend / library)
    # A copy, because Triton changes the stub's mode if running it fails.
    # Source: `StubLauncher::Launch` in python_backend/src/stub_launcher.cc.
    shutil.copy(installation.stub, backend)
    # From 3.11 on the stub's Python is an isolated one: it knows its virtual environment, but
    # neither PYTHONPATH nor the user's site-packages. This module it imports before any model.
    utilities = "triton_python_backend_utils.py"
    original = (installation.python_backend / utilities).read_text("utf-8")
    (backend / utilities).write_text(f"{_import_path_statement()}\n{original}", "utf-8")
    return backend.parent


def _import_path_statement() -> str:
    """Return a line of Python that makes importable, as a last resort, all that is so here."""
    directories = [entry for entry in sys.path if entry and Path(entry).is_dir()]
    absolute = [str(Path(entry).absolute()) for entry in directories]
    return f"import sys; sys.path.extend(entry for entry in {absolute!a} if entry not in sys.path)"


def _shared_libpython() -> Path:
    """Find libpython; without it Triton would wait for the stub until its time is up."""
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    configured = Path(sysconfig.get_config_var("LIBDIR") or "")
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    for directory in (configured, configured / multiarch, Path(sys.base_prefix, "lib")):
        if (directory / name).is_file():
            return directory / name
    raise ServerStartError(
        f"{name}, which Triton's Python backend needs, is neither in {configured} nor in "
        f"{Path(sys.base_prefix, 'lib')}: this Python is built without its shared library. Use "
        "one that has it (those of uv and conda do; pyenv needs --enable-shared; on Debian install "
        "the package libpython3.x)"
    )


def server_environment(
    installation: TritonInstallation, work_directory: Path, *, keeps_blocks: bool = False
) -> dict[str, str]:
    """Return the environment for a server.

    Args:
        installation: Of Triton.
        work_directory: The server's current directory.
        keeps_blocks: Whether to set `KEPT_BLOCKS`, where this process's own environment does not.
    """
    environment = {**(KEPT_BLOCKS if keeps_blocks else {}), **os.environ}
    python_path = [str(Path(entry).absolute()) for entry in _split("PYTHONPATH")]
    if python_path:
        environment["PYTHONPATH"] = os.pathsep.join(python_path)
    if installation.libraries is not None:
        libraries = [str(installation.libraries), str(work_directory / "lib")]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join([*libraries, *_split("LD_LIBRARY_PATH")])
        # The stub takes the environment of the first python3 on its PATH, as embedded Pythons do.
        python = str(Path(sys.executable).parent)
        environment["PATH"] = os.pathsep.join([python, *_split("PATH")])
    return environment


def _split(variable: str) -> list[str]:
    return [entry for entry in os.environ.get(variable, "").split(os.pathsep) if entry]
