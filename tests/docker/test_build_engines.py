"""The chart's script builds engines, or takes those of such a machine, for real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from chart import CHART
from dockerfiles import stages
from tiny_models import TinyModel

SCRIPT = CHART / "files" / "build_engines.sh"
SPECIFICATION = """
name: tiny
input: {name: image, height: 64, width: 96}
mean: 127.5
scale: 127.5
output: {name: output}
classes: 5
"""
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.usefixtures("deploy_tools")


class Machine:
    """Folders as the chart mounts them; a pod sees a fresh /models, and the others' cache."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.pods = folder, 0
        self.source, self.cache = folder / "source", folder / "cache"
        self.source.mkdir()
        self.cache.mkdir()
        (self.source / "tiny.yaml").write_text(SPECIFICATION)
        self.export(0)

    def export(self, seed: int) -> None:
        model = TinyModel().model()
        weight = numpy_helper.to_array(model.graph.initializer[0])
        rng = np.random.default_rng(seed)
        other = rng.standard_normal(weight.shape).astype(np.float32)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(other, "weight"))
        onnx.save(model, self.source / "tiny.onnx")

    def pod(self, *options: str) -> tuple[str, Path]:
        self.pods += 1
        models = self.folder / f"models{self.pods}"
        models.mkdir()
        words = ["tiny.yaml", "--onnx", "tiny.onnx", "--runtime", "openvino", *options]
        command = ["/bin/sh", str(SCRIPT), str(self.cache), str(models), *words]
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        done = subprocess.run(
            command, cwd=self.source, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()[-1], models

    def kept(self) -> list[Path]:
        return sorted(self.cache.glob("*/*/*"))


def test_engines_are_built_once_for_what_they_are_built_from(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    said, models = machine.pod()
    assert said.startswith("built into the cache: ")
    assert (models / "tiny" / "config.pbtxt").is_file()

    said, again = machine.pod()
    assert said.startswith("taken from the cache: ")
    assert contents(again) == contents(models)

    machine.export(1)
    said, other = machine.pod()
    assert said.startswith("built into the cache: ")
    assert contents(other) != contents(models)
    assert len(machine.kept()) == 2

    machine.export(0)
    (engine,) = machine.kept()[0].glob("tiny/1/model.onnx")
    for path in machine.kept():
        (engine,) = path.glob("tiny/1/model.onnx")
        engine.write_bytes(engine.read_bytes()[:-1])
    said, mended = machine.pod()
    assert said.startswith("built into the cache: ")
    assert (mended / "tiny/1/model.onnx").read_bytes() == (
        models / "tiny/1/model.onnx"
    ).read_bytes()
    assert not [path for path in machine.kept() if path.name.startswith(".")]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_build_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (machine.source / "tiny.onnx").write_bytes(b"no model")
    with pytest.raises(AssertionError, match=r"tiny\.onnx"):
        machine.pod()
    assert [path for path in machine.cache.rglob("*") if path.is_file()] == []


def test_the_images_that_run_it_have_what_it_calls() -> None:
    """`tritonseg` is on their PATH, and `python3` is the interpreter that has the libraries."""
    cpu = stages("Dockerfile.cpu")[-1].environment()
    assert cpu["PATH"].startswith("/opt/tritonseg/bin:")
    assert stages("Dockerfile.build")[-1].command("ENTRYPOINT") == ["tritonseg"]
