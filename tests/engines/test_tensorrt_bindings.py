"""NVIDIA's real Python bindings, 10.16 and 11.4, as far as they go without a GPU.

PyPI has the bindings alone; stubs of the libraries make them import. Enums, the logger and the
progress monitor are the real thing then, and a builder cannot be created, as on any machine
without a GPU.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from tensorrt_uses import SOURCES, is_in, uses
from tiny_models import TinyModel

VERSIONS = ("10.16.1.11", "11.4.0.106")
LIBRARIES = ("nvinfer", "nvonnxparser", "nvinfer_plugin")

BUILD = """
import json, sys
from pathlib import Path
from tritonseg_engines.tensorrt import Gpu, TensorRTUnavailableError, inspect_machine
from tritonseg_engines.tensorrt.plan import build_plan

onnx, plan = map(Path, sys.argv[1:])
machine = inspect_machine()
answer = {"gpus": len(machine.gpus), "reason": machine.no_gpu_reason}
answer["version"] = machine.tensorrt_version
gpu = Gpu(name="NVIDIA L4", compute_capability="8.9", memory_bytes=1, driver_version=None,
          cuda_version="12.8")
for name, given in (("probed", None), ("given", gpu)):
    try:
        build_plan(onnx, plan, gpu=given)
    except TensorRTUnavailableError as error:
        answer[name] = str(error)
print(json.dumps(answer))
"""

CALL_BACK = """
import json
from tritonseg_engines.tensorrt.bindings import (
    BuildLog, load_tensorrt, new_logger, new_progress_monitor)

trt, log, steps = load_tensorrt(), BuildLog(), []
logger = new_logger(trt, log)
logger.log(trt.ILogger.Severity.ERROR, "an error")
logger.log(trt.ILogger.Severity.VERBOSE, "a tactic")
monitor = new_progress_monitor(trt, lambda *step: steps.append(step))
monitor.phase_start("Building", None, 2)
going_on = monitor.step_complete("Building", 0)
failing = new_progress_monitor(trt, lambda *step: 1 / 0)
print(json.dumps({
    "real": [isinstance(logger, trt.ILogger), isinstance(monitor, trt.IProgressMonitor)],
    "log": log.lines(), "steps": steps, "going_on": going_on,
    "failing": failing.step_complete("Building", 0),
}))
"""

RUN_PLAN = """
import json, sys
from pathlib import Path
from tritonseg_engines.tensorrt import Gpu, TensorRTUnavailableError
from tritonseg_engines.tensorrt.loaded_plan import load_plan

gpu = Gpu(name="NVIDIA L4", compute_capability="8.9", memory_bytes=1, driver_version=None,
          cuda_version="12.8")
answer = {}
for name, keywords in (("probed", {}), ("given", {"gpu": gpu, "device": object()})):
    try:
        with load_plan(Path(sys.argv[1]), **keywords):
            pass
    except TensorRTUnavailableError as error:
        answer[name] = str(error)
print(json.dumps(answer))
"""

TYPES = """
import json
import numpy as np
import tensorrt as trt
from tritonseg_engines.tensorrt.plan_tensors import NUMPY_TYPES

def theirs(kind):
    try:
        return np.dtype(trt.nptype(kind)).name
    except TypeError:
        return None

names = trt.DataType.__members__
print(json.dumps({
    "ours": {name: dtype.name for name, dtype in NUMPY_TYPES.items()},
    "theirs": {name: theirs(kind) for name, kind in names.items() if theirs(kind)},
}))
"""

LOOK = """
import json, sys
import tensorrt
missing = []
for owner, name in json.loads(sys.argv[1]):
    place = getattr(tensorrt, owner, None) if owner else tensorrt
    if place is None or not hasattr(place, name):
        missing.append([owner, name])
print(json.dumps(missing))
"""

Run = Callable[..., Any]


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def run(version: str, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a program that sees one version of the bindings; return the JSON that it prints."""
    folder = tmp_path_factory.mktemp(version)
    install_bindings(version, folder, shared / "tensorrt" / "stub_libs" / "stub.c")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), *map(str, filter(None, sys.path))]),
        "LD_LIBRARY_PATH": str(folder / "lib"),
        # So that a machine with a GPU shows none either.
        "CUDA_VISIBLE_DEVICES": "",
    }

    def run(program: str, *arguments: str) -> Any:
        command = [sys.executable, "-W", "error", "-c", program, *arguments]
        result = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1])

    return run


def install_bindings(version: str, folder: Path, stub: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None or importlib.util.find_spec("pip") is None or not stub.is_file():
        pytest.skip("needs a C compiler, pip and stub.c of the reference folder")
    wheel = f"tensorrt-cu12-bindings=={version}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    result = subprocess.run(
        [*command, str(folder), wheel], capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        pytest.skip(f"pip cannot get {wheel}: {result.stderr.strip().splitlines()[-1]}")
    (folder / "tensorrt").symlink_to("tensorrt_bindings")
    (folder / "lib").mkdir()
    for name in LIBRARIES:
        library = f"lib{name}.so.{version.partition('.')[0]}"
        target = ["-o", str(folder / "lib" / library), f"-Wl,-soname,{library}"]
        subprocess.run([compiler, "-shared", "-fPIC", *target, str(stub)], check=True)


def test_a_build_goes_as_far_as_the_builder(run: Run, version: str, tmp_path: Path) -> None:
    onnx.save(TinyModel().model(), tmp_path / "model.onnx")
    answer = run(BUILD, str(tmp_path / "model.onnx"), str(tmp_path / "model.plan"))
    assert (answer["gpus"], answer["version"]) == (0, version)
    assert answer["reason"] in answer["probed"]
    assert answer["probed"].startswith("no GPU to build a TensorRT plan on")
    assert answer["given"].startswith(f"TensorRT {version} cannot start on NVIDIA L4 (CUDA 12.8)")
    assert not (tmp_path / "model.plan").exists()


def test_a_plan_is_loaded_as_far_as_the_runtime(run: Run, version: str, tmp_path: Path) -> None:
    (tmp_path / "model.plan").write_bytes(b"a plan")
    answer = run(RUN_PLAN, str(tmp_path / "model.plan"))
    assert answer["probed"].startswith("no GPU")
    assert answer["given"].startswith(f"TensorRT {version} cannot start on NVIDIA L4 (CUDA 12.8)")


def test_types_are_those_that_tensorrt_names(run: Run) -> None:
    answer = run(TYPES)
    assert answer["ours"] == answer["theirs"]


def test_logger_and_monitor_are_what_tensorrt_expects(run: Run) -> None:
    answer = run(CALL_BACK)
    assert answer["real"] == [True, True]
    assert answer["log"] == ["[ERROR] an error"]
    assert answer["steps"] == [["Building", 0, 2], ["Building", 1, 2]]
    assert (answer["going_on"], answer["failing"]) == (True, False)


def test_the_introspection_is_that_of_the_real_bindings(
    run: Run, version: str, shared: Path
) -> None:
    """What the contract test reads off the JSON files holds for the module itself."""
    api = json.loads((shared / "tensorrt" / "api" / f"{version}.json").read_text())
    touched = {use for path in SOURCES for use in uses(path.read_text())}
    touched = {use for use in touched if use.name != "reporter"}
    missing = run(LOOK, json.dumps([[use.owner, use.name] for use in touched]))
    lacking = [[use.owner, use.name] for use in touched if not is_in(api, use)]
    assert sorted(missing) == sorted(lacking)
