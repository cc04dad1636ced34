"""The demo is a model like any other for the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tritonseg_engines import zoo
from tritonseg_engines.cli.app import cli
from tritonseg_engines.errors import SpecificationError
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.zoo.street_demo import DEMO_NAME, demo_spec


def tritonseg(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_the_table_has_the_published_models_and_the_demo_marked() -> None:
    outcome = tritonseg("models")
    assert outcome.exit_code == 0
    rows = [line.split()[0] for line in outcome.output.splitlines() if line.strip()]
    assert rows[1:8] == [DEMO_NAME, *zoo.ZOO_SPECS]
    assert f"{DEMO_NAME} is the demo" in outcome.output


def test_the_document_marks_the_demo() -> None:
    models = json.loads(tritonseg("models", "--json").output)
    assert [model["name"] for model in models] == [DEMO_NAME, *zoo.ZOO_SPECS]
    assert [model["name"] for model in models if model["is_demo"]] == [DEMO_NAME]
    assert all((model["checkpoint"] is None) == model["is_demo"] for model in models)


def test_its_specification_is_had_by_name() -> None:
    assert zoo.get_spec(DEMO_NAME) == demo_spec()
    assert DEMO_NAME not in zoo.ZOO_SPECS


def test_it_is_built_without_any_file(tmp_path: Path) -> None:
    outcome = tritonseg("build", DEMO_NAME, "--repository", tmp_path / "repository")
    assert outcome.exit_code == 0, outcome.output
    assert "1 drawn street)" in outcome.output
    config = read_config(tmp_path / "repository" / DEMO_NAME / "config.pbtxt")
    assert config.name == DEMO_NAME


@pytest.mark.parametrize(
    "command",
    [
        ("export", DEMO_NAME, "--weights", "upstream"),
        ("repository", DEMO_NAME, "-o", "repository"),
    ],
    ids=lambda command: command[0],
)
def test_what_needs_a_checkpoint_says_that_it_ships_as_onnx(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command[0] == "export":
        pytest.importorskip("torch", reason="exporting a network needs torch")
    monkeypatch.chdir(tmp_path)
    outcome = tritonseg(*command)
    assert outcome.exit_code == 1
    assert f"`tritonseg build {DEMO_NAME}` needs nothing else" in outcome.output


def test_it_has_no_network_to_build() -> None:
    with pytest.raises(SpecificationError, match="ships as ONNX"):
        zoo.build_network(DEMO_NAME)
