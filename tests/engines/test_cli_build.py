"""The commands of the README, one after the other: export a published model, build it by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tritonseg_engines import zoo
from tritonseg_engines.cli.app import cli
from tritonseg_engines.repository.files import read_config

torch = pytest.importorskip("torch", reason="exporting a network needs torch")

MODEL = "hrnetv2-w18-small-v1-cityscapes"


def run(*arguments: object) -> str:
    outcome = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


@pytest.mark.parametrize(
    ("size", "dims"),
    [
        (["--height", 64, "--width", 96], [3, 64, 96]),
        (["--any-size"], [3, -1, -1]),
    ],
    ids=["fixed", "any"],
)
def test_export_then_build_by_name(size: list[object], dims: list[int], tmp_path: Path) -> None:
    """The size is chosen at the export; building by name takes what the file says."""
    weights, onnx = tmp_path / "weights.pth", tmp_path / "model.onnx"
    torch.save(zoo.build_network(MODEL).state_dict(), weights)
    run("export", MODEL, "--weights", weights, "--onnx", onnx, *size)
    repository = tmp_path / "repository"
    answer = run(
        "build", MODEL, "--onnx", onnx, "--repository", repository, "--layout", "ensemble", "--json"
    )
    assert json.loads(answer)["gate"]["verdict"] == "passed"
    engine = read_config(repository / f"{MODEL}_engine" / "config.pbtxt")
    assert list(engine.input[0].dims) == dims
