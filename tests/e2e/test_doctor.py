"""What `tritonseg doctor` says about this machine, a real server and a real repository."""

from __future__ import annotations

import json
import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tritonseg_engines.cli.doctor_command import command
from tritonseg_engines.serving import TritonServer


def doctor(*arguments: str) -> tuple[int, dict[str, Any]]:
    outcome = CliRunner().invoke(command, [*arguments, "--json"])
    assert outcome.exception is None or isinstance(outcome.exception, SystemExit)
    return outcome.exit_code, json.loads(outcome.output)


def test_versions_are_those_that_are_installed() -> None:
    code, document = doctor()
    assert code == 0
    assert document["problems"] == []
    assert document["versions"]["numpy"] == np.__version__
    assert document["versions"]["python"] == platform.python_version()
    assert document["versions"]["tritonseg"] == version("tritonseg")
    assert document["machine"]["gpus"] or document["machine"]["no_gpu_reason"]
    assert "tritonserver" in document["tritonserver"]


def test_a_server_and_its_repository_are_well(
    demo_server: TritonServer, demo_repository: Path
) -> None:
    arguments = ["--url", demo_server.grpc_url, "--repository", str(demo_repository)]
    code, document = doctor(*arguments)
    assert (code, document["problems"]) == (0, [])
    assert document["server"]["models"]["street-demo"] == "READY"
    assert document["models"] == {"street-demo": []}
    outcome = CliRunner().invoke(command, arguments)
    assert outcome.exit_code == 0
    assert "street-demo: as built, and this machine can serve it" in outcome.output


def test_an_engine_that_was_exchanged_is_found(demo_repository: Path, tmp_path: Path) -> None:
    repository = shutil.copytree(demo_repository, tmp_path / "repository")
    (repository / "street-demo_engine" / "1" / "model.onnx").write_bytes(b"another")
    code, document = doctor("--repository", str(repository))
    assert code == 1
    (problem,) = document["problems"]
    assert problem.startswith("street-demo: street-demo_engine/1/model.onnx is not the file")


@pytest.mark.parametrize("model", ["street-demo", "street-demo_engine", "street-demo_argmax"])
def test_a_version_that_no_build_wrote_is_found(
    model: str, demo_repository: Path, tmp_path: Path
) -> None:
    """Triton serves the highest version, so the one that was built is not what answers."""
    repository = shutil.copytree(demo_repository, tmp_path / "repository")
    shutil.copytree(repository / model / "1", repository / model / "2")
    (repository / model / "notes").mkdir()  # no version, and Triton ignores it
    (repository / model / "02").mkdir()
    code, document = doctor("--repository", str(repository))
    assert code == 1
    (problem,) = document["problems"]
    what = "was built as version 1" if model == "street-demo" else "is of no build"
    assert f": {model}/2 {what}" in problem
    assert "remove that folder" in problem


def test_a_version_that_took_the_place_of_the_built_one_is_found(
    demo_repository: Path, tmp_path: Path
) -> None:
    repository = shutil.copytree(demo_repository, tmp_path / "repository")
    engine = repository / "street-demo_engine"
    (engine / "1").rename(engine / "10")
    code, document = doctor("--repository", str(repository))
    assert code == 1
    added, missing, step = document["problems"]
    assert step.startswith("street-demo: street-demo_engine/1/model.py is missing")
    assert added.startswith("street-demo: street-demo_engine/10 is of no build")
    assert missing == (
        "street-demo: street-demo_engine/1/model.onnx is missing; build it again: tritonseg build "
        f"street-demo --repository {repository} --runtime openvino --layout ensemble "
        "--precision fp32"
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--url", "127.0.0.1:9"], "127.0.0.1:9: no Triton answers on gRPC there"),
        (["--repository", "absent"], "there is no model repository at absent"),
    ],
)
def test_what_cannot_be_looked_at_is_a_problem(arguments: list[str], problem: str) -> None:
    code, document = doctor(*arguments)
    assert code == 1
    assert document["problems"][0].startswith(problem)
