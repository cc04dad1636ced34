"""Which Triton is found, and how it is made startable."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tritonseg_engines.demo.run import run_demo
from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.serving import (
    ServerConfig,
    TritonInstallation,
    TritonServer,
    find_tritonserver,
)
from tritonseg_engines.serving.config import Ports, triton_arguments
from tritonseg_engines.serving.installation import (
    KEPT_BLOCKS,
    known_options,
    lay_out_backends,
    refuse_numpy,
    server_environment,
)


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `tritonserver` on the PATH that writes down how it was called, and fails."""
    executable = tmp_path / "opt" / "bin" / "tritonserver"
    executable.parent.mkdir(parents=True)
    called = tmp_path / "called"
    executable.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{called}\nenv >>{called}\nexit 3\n')
    executable.chmod(0o755)
    monkeypatch.setenv("PATH", f"{executable.parent}:{os.environ['PATH']}")
    return executable


def test_the_path_wins_and_states_its_version(on_path: Path) -> None:
    assert find_tritonserver() == TritonInstallation(executable=on_path)
    (on_path.parent.parent / "TRITON_VERSION").write_text("2.58.0\n")
    assert find_tritonserver() == TritonInstallation(executable=on_path, version="2.58.0")


def test_a_server_on_the_path_keeps_its_own_backends_and_libraries(
    on_path: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/its/own")
    with pytest.raises(ServerStartError, match="exit code 3"):
        TritonServer(ServerConfig(repositories=(repository,))).start()
    called = (tmp_path / "called").read_text().splitlines()
    assert f"--model-repository={repository}" in called
    assert "LD_LIBRARY_PATH=/its/own" in called
    assert f"PATH={os.environ['PATH']}" in called
    assert not any(line.startswith("--backend-directory") for line in called)


def test_without_any_triton_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    with pytest.raises(ServerStartError, match=r"extra 'serve'.*brings one; or put a tritonserver"):
        find_tritonserver()


def test_a_python_without_triton_is_told_which_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    monkeypatch.setattr(platform, "python_version", lambda: "3.13.0")
    message = r"works with Python 3\.10 to 3\.12 .*, this is 3\.13\.0: use an environment"
    with pytest.raises(ServerStartError, match=message) as caught:
        find_tritonserver()
    assert "pip install" not in str(caught.value)
    with pytest.raises(ServerStartError, match=message):
        run_demo(tmp_path / "out", image=None, progress=print)
    assert not (tmp_path / "out").exists()  # said before the work, not after it


def test_a_machine_without_triton_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(ServerStartError, match=r"for Linux on x86-64, this is .* on aarch64"):
        find_tritonserver()


@pytest.mark.e2e
def test_the_wheel_is_found_without_importing_it(installation: TritonInstallation) -> None:
    if installation.wheel is None:
        pytest.skip("a tritonserver on the PATH comes before the wheel")
    code = (
        "import sys; from tritonseg_engines.serving import find_tritonserver; "
        "print(find_tritonserver().executable, 'pytriton' in sys.modules)"
    )
    told = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert told == f"{installation.executable} False\n"


@pytest.mark.e2e
def test_every_flag_is_known_to_the_real_binary(
    installation: TritonInstallation, tmp_path: Path
) -> None:
    known = known_options(installation, server_environment(installation, tmp_path))
    arguments = triton_arguments(
        ServerConfig(repositories=(tmp_path,), models=("some",), http_port=0),
        Ports(grpc=1, http=2, metrics=3),
        server_id="id",
        repositories=[tmp_path],
        backend_directory=tmp_path,
        shm_prefix="prefix",
    )
    assert {argument.partition("=")[0] for argument in arguments} <= known


@pytest.mark.e2e
def test_the_wheels_own_files_are_neither_changed_nor_reachable_by_chmod(
    installation: TritonInstallation, tmp_path: Path
) -> None:
    if installation.stub is None:
        pytest.skip("a tritonserver on the PATH has its own stub")
    mode = installation.stub.stat().st_mode
    backends = lay_out_backends(installation, tmp_path)
    assert backends is not None
    # What Triton does to a stub that will not run.
    (backends / "python" / "triton_python_backend_stub").chmod(0o100)
    assert installation.stub.stat().st_mode == mode


@pytest.mark.e2e
def test_a_python_without_its_shared_library_is_refused(
    installation: TritonInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if installation.stub is None:
        pytest.skip("a tritonserver on the PATH has its own stub")
    monkeypatch.setitem(sysconfig.get_config_vars(), "LIBDIR", str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    with pytest.raises(ServerStartError, match=name):
        lay_out_backends(installation, tmp_path)


def test_relative_entries_of_the_python_path_survive_the_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"client::{tmp_path}/steps")
    environment = server_environment(TritonInstallation(executable=Path("tritonserver")), tmp_path)
    assert environment["PYTHONPATH"] == f"{tmp_path}/client:{tmp_path}/steps"


def test_what_malloc_is_told_already_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "65536")
    installation = TritonInstallation(executable=Path("tritonserver"))
    environment = server_environment(installation, tmp_path, keeps_blocks=True)
    assert environment["MALLOC_MMAP_MAX_"] == "65536"
    assert environment["MALLOC_TRIM_THRESHOLD_"] == KEPT_BLOCKS["MALLOC_TRIM_THRESHOLD_"]
    assert (
        not KEPT_BLOCKS.keys()
        & server_environment(installation, tmp_path).keys() - os.environ.keys()
    )


@pytest.mark.parametrize(
    ("triton", "numpy", "refused"),
    [
        ({"version": "2.52.0"}, "2.0.0", True),
        ({"version": "2.53.0"}, "2.4.1", False),
        ({"version": "2.51.0"}, "1.26.4", False),
        ({"wheel": "nvidia-pytriton 0.7.0"}, "2.4.1", True),
        ({}, "2.4.1", False),
    ],
)
def test_a_numpy_of_which_tensors_would_be_empty_is_refused(
    triton: dict[str, str],
    numpy: str,
    refused: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metadata = tmp_path / f"numpy-{numpy}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: numpy\nVersion: {numpy}\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = TritonInstallation(executable=tmp_path / "tritonserver", **triton)  # type: ignore[arg-type]
    if not refused:
        refuse_numpy(found)
        return
    with pytest.raises(ServerStartError, match=f"of NumPy {numpy}: expected NumPy below 2"):
        refuse_numpy(found)
