"""What a machine says about its GPU, through the C interface of libraries compiled here."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tritonseg_engines.tensorrt import TensorRTUnavailableError, inspect_machine

TWO_GPUS = """
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *v) { *v = 12080; return 0; }
int cuDeviceGetCount(int *n) { *n = 2; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal + 40; return 0; }
int cuDeviceGetName(char *name, int length, int device) {
  strncpy(name, device == 40 ? "NVIDIA L4" : "Tesla T4", length); return 0;
}
int cuDeviceGetAttribute(int *v, int attribute, int device) {
  *v = attribute == 75 ? (device == 40 ? 8 : 7) : attribute == 76 ? (device == 40 ? 9 : 5) : -1;
  return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 24ull << 30; return 0; }
"""
NVML = """
#include <string.h>
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *v, unsigned n) { strncpy(v, "570.86.15", n); return 0; }
"""
NO_DEVICE = """
int cuInit(unsigned flags) { return 100; }
int cuGetErrorString(int status, const char **text) {
  *text = "no CUDA-capable device is detected"; return 0;
}
"""
CRASHING = "#include <signal.h>\nint cuInit(unsigned flags) { raise(SIGSEGV); return 0; }"
HANGING = "#include <unistd.h>\nint cuInit(unsigned flags) { sleep(60); return 0; }"
NVINFER = "int getInferLibVersion(void) { return %d; }"

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Compile a library where the probe's loader finds it."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))

    def install(name: str, source: str) -> None:
        (tmp_path / "source.c").write_text(source)
        command = [compiler, "-shared", "-fPIC", "-o", str(tmp_path / name)]
        subprocess.run([*command, str(tmp_path / "source.c")], check=True)

    return install


def test_every_gpu_is_described(install: Install) -> None:
    install("libcuda.so.1", TWO_GPUS)
    install("libnvidia-ml.so.1", NVML)
    machine = inspect_machine()
    assert [gpu.name for gpu in machine.gpus] == ["NVIDIA L4", "Tesla T4"]
    assert [gpu.compute_capability for gpu in machine.gpus] == ["8.9", "7.5"]
    gpu = machine.first_gpu()
    assert (gpu.memory_bytes, gpu.cuda_version, gpu.driver_version) == (
        24 * 2**30,
        "12.8",
        "570.86.15",
    )
    assert machine.no_gpu_reason is None


def test_a_driver_without_a_gpu_gives_its_reason(install: Install) -> None:
    install("libcuda.so.1", NO_DEVICE)
    machine = inspect_machine()
    assert machine.no_gpu_reason is not None
    assert "no CUDA-capable device is detected (CUDA error 100)" in machine.no_gpu_reason
    with pytest.raises(TensorRTUnavailableError, match="no CUDA-capable device"):
        machine.first_gpu()


def test_a_driver_that_crashes_ends_only_the_probe(install: Install) -> None:
    install("libcuda.so.1", CRASHING)
    machine = inspect_machine()
    assert machine.no_gpu_reason is not None
    assert "SIGSEGV" in machine.no_gpu_reason


def test_a_driver_that_hangs_is_given_up(install: Install) -> None:
    install("libcuda.so.1", HANGING)
    machine = inspect_machine(timeout_s=1)
    assert machine.no_gpu_reason == "the NVIDIA driver did not answer within 1 s"


@pytest.mark.parametrize(
    ("library", "number", "version"),
    [
        ("libnvinfer.so.10", 101601, "10.16.1"),
        ("libnvinfer.so.11", 110400, "11.4.0"),
        ("libnvinfer.so.8", 8601, "8.6.1"),
    ],
)
def test_the_bare_library_tells_its_version(
    library: str, number: int, version: str, install: Install
) -> None:
    """As in Triton's container, which has the library without its Python package."""
    install(library, NVINFER % number)
    assert inspect_machine().tensorrt_version == version
