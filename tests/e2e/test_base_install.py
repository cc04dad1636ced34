"""The base install alone is a working client, with NumPy 1.26 and with NumPy 2."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tritonseg_engines.serving import TritonServer

PROJECT = Path(__file__).parents[2]
EXPECTED_PACKAGES = {"numpy", "pillow", "tritonclient", "grpcio", "protobuf"}

SCRIPT = """
import importlib.metadata, json, sys
import numpy as np
from tritonseg import SegmentationClient

with SegmentationClient(sys.argv[1], model="street-demo") as client:
    result = client.segment(np.full((40, 60, 3), 90, np.uint8))
print(json.dumps({
    "numpy": np.__version__,
    "shape": result.class_map.shape,
    "coverage": sum(result.coverage.values()),
    "packages": sorted(d.metadata["Name"].lower() for d in importlib.metadata.distributions()),
}))
"""


def run(*command: object) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, PROJECT)
    (path,) = folder.glob("tritonseg-*.whl")
    return path


@pytest.mark.parametrize("numpy", ["numpy==1.26.*", "numpy>=2"])
def test_client_works_in_an_environment_with_nothing_else(
    wheel: Path, demo_server: TritonServer, numpy: str, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel, numpy)
    answer = json.loads(run(python, "-c", SCRIPT, demo_server.grpc_url))
    assert answer["shape"] == [40, 60]
    assert answer["coverage"] == pytest.approx(1)
    assert answer["numpy"].startswith(numpy.removeprefix("numpy==").removeprefix("numpy>=")[0])
    assert set(answer["packages"]) >= EXPECTED_PACKAGES
    assert not {"click", "onnx", "torch", "openvino", "numba"} & set(answer["packages"])
    command = [python, "-m", "tritonseg", "serve"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    needed = f"{python} -m pip install '{wheel}[serve]'"
    assert done.returncode == 1
    assert done.stderr == f"tritonseg: the command needs click: {needed}\n"


def test_the_command_names_the_extra_it_needs(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    bin_folder = tmp_path / "venv" / "bin"
    run(bin_folder / "python", "-m", "pip", "install", "-q", "--no-deps", wheel)
    done = subprocess.run([bin_folder / "tritonseg"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    needed = f"{bin_folder / 'python'} -m pip install '{wheel}[build]'"
    assert done.stderr == f"tritonseg: the command needs click: {needed}\n"


def test_the_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    """The build leaves out what .gitignore names, which once was a package of ours."""
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    for root in ("client", "steps", "build_engines"):
        for package in (PROJECT / root).glob("tritonseg*/"):
            files = {file for file in package.rglob("*") if file.is_file()}
            names = {file.relative_to(PROJECT / root).as_posix() for file in files}
            assert {name for name in names if "__pycache__" not in name} <= inside


def test_the_readme_names_the_wheel_that_is_built(wheel: Path) -> None:
    assert f"pip install 'dist/{wheel.name}[serve]'" in (PROJECT / "README.md").read_text()
