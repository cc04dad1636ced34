"""A build replaces what a build of the same model wrote, and nothing else in the repository."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from tiny_models import SIZES, TinyModel, tiny_spec
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.cli.app import cli
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository import Deployment, Engine, Provenance, write_model
from tritonseg_engines.repository.unbuilt import write_unbuilt
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.target import ServingLayout
from tritonseg_engines.zoo import get_spec
from tritonseg_steps.upsampling import Upsampling

PROVENANCE = Provenance(
    onnx_sha256="0" * 64, precision="fp32", runtime="openvino", tritonseg_version="1"
)


def write(repository: Path, name: str, layout: str = "ensemble", **changes: object) -> Path:
    spec: ModelSpec = replace(tiny_spec(name=name), **changes)
    engine = Engine(
        file="model.onnx", sizes=SIZES, output_dims=(5, 16, 24), upsampling=Upsampling()
    )
    deployment = Deployment(
        spec=spec, engine=engine, provenance=PROVENANCE, layout=ServingLayout(layout)
    )
    built = repository.parent / "built.onnx"
    built.write_bytes(name.encode())
    manifest = {"provenance": {"runtime": "openvino", "precision": "fp32"}}
    return write_model(repository, deployment, built, manifest).parent


def contents(repository: Path) -> dict[str, bytes]:
    paths = sorted(path for path in repository.rglob("*") if path.is_file())
    return {path.relative_to(repository).as_posix(): path.read_bytes() for path in paths}


def put_model_of_the_users(repository: Path, name: str, config: str | None = None) -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1" / "model.onnx").write_bytes(b"trained for a month")
    if config is not None:
        (repository / name / "config.pbtxt").write_text(config)


def refused(repository: Path, match: str, name: str, layout: str = "ensemble") -> None:
    before = contents(repository)
    with pytest.raises(RepositoryError, match=match):
        write(repository, name, layout)
    assert contents(repository) == before
    assert not [path for path in repository.iterdir() if path.name.startswith(".")]


USERS = {"of Triton": 'name: "x" backend: "onnxruntime"', "broken": "{", "without a config": None}


@pytest.mark.parametrize("config", USERS.values(), ids=USERS)
@pytest.mark.parametrize("folder", ["street", "street_engine", "street_argmax"])
def test_a_model_of_the_users_is_not_replaced(
    folder: str, config: str | None, tmp_path: Path
) -> None:
    put_model_of_the_users(tmp_path / "r", folder, config)
    refused(tmp_path / "r", rf"r/{folder} was not written by a build of street.*move", "street")


@pytest.mark.parametrize("config", USERS.values(), ids=USERS)
def test_nor_removed_where_the_layout_has_no_such_step(config: str | None, tmp_path: Path) -> None:
    put_model_of_the_users(tmp_path / "r", "street_engine", config)
    before = contents(tmp_path / "r")
    for _ in range(2):
        write(tmp_path / "r", "street", "single")
    assert {**contents(tmp_path / "r"), **before} == contents(tmp_path / "r")


def test_a_file_or_link_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "street").write_text("notes")
    refused(tmp_path / "r", "r/street was not written by a build", "street")
    (tmp_path / "r" / "park").symlink_to(tmp_path / "elsewhere")
    refused(tmp_path / "r", "r/park was not written by a build", "park")


def test_an_empty_folder_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "r" / "street").mkdir(parents=True)
    write(tmp_path / "r", "street")


@pytest.mark.parametrize("first", ["ensemble", "single"])
@pytest.mark.parametrize("second", ["ensemble", "single"])
def test_a_models_name_is_not_anothers_step(first: str, second: str, tmp_path: Path) -> None:
    write(tmp_path / "r", "street", first)
    step = "street_engine"
    refused(tmp_path / "r", rf"{step} is what the model street there calls", step, second)
    write(tmp_path / "s", step, first)
    refused(tmp_path / "s", rf"{step} there is a model of its own", "street", second)


def test_a_step_whose_model_is_gone_is_not_taken_for_a_model(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", "street")
    folder.rename(tmp_path / "gone")
    refused(tmp_path / "r", "r/street_engine was not written by a build of s", "street_engine")


@pytest.mark.parametrize("damage", ["no config", "broken config", "no manifest"])
@pytest.mark.parametrize("folder", ["street", "street_engine"])
def test_ones_own_is_replaced_even_where_it_is_damaged(
    folder: str, damage: str, tmp_path: Path
) -> None:
    write(tmp_path / "r", "street")
    whole = contents(tmp_path / "r")
    if damage == "no manifest":
        (tmp_path / "r" / "street" / "1" / "manifest.json").unlink()
    elif damage == "no config":
        (tmp_path / "r" / folder / "config.pbtxt").unlink()
    else:
        (tmp_path / "r" / folder / "config.pbtxt").write_text("{")
    write(tmp_path / "r", "street")
    assert contents(tmp_path / "r") == whole


def test_an_unbuilt_model_is_written_by_the_same_rule(tmp_path: Path) -> None:
    spec = get_spec("fastseg-small")
    put_model_of_the_users(tmp_path, f"{spec.name}_argmax")
    with pytest.raises(RepositoryError, match="argmax was not written by a build"):
        write_unbuilt(spec, tmp_path)
    assert len(contents(tmp_path)) == 1


def test_is_said_before_the_export_is_read(tmp_path: Path) -> None:
    put_model_of_the_users(tmp_path / "r", "tiny")
    (tmp_path / "export.onnx").write_bytes(b"no ONNX")
    with pytest.raises(RepositoryError, match="not written by a build of tiny"):
        build_model(tiny_spec(), tmp_path / "export.onnx", tmp_path / "r")


def test_the_command_says_it_in_one_line(tmp_path: Path) -> None:
    put_model_of_the_users(tmp_path / "r", "street-demo")
    arguments = ["build", "street-demo", "--repository", str(tmp_path / "r")]
    outcome = CliRunner().invoke(cli, arguments)
    assert outcome.exit_code == 1
    (line,) = outcome.output.splitlines()
    assert line.startswith(f"Error: {tmp_path / 'r' / 'street-demo'} was not written by a build")


def test_the_export_is_not_overwritten_by_the_onnx_of_a_build(tmp_path: Path) -> None:
    export = tmp_path / "tiny.fp32.onnx"
    onnx.save(TinyModel().model(), export)
    before = export.read_bytes()
    options = BuildOptions(onnx_only=True)
    with pytest.raises(RepositoryError, match=r"is the export.*another name"):
        build_model(tiny_spec(), export, tmp_path / "r", options=options)
    assert export.read_bytes() == before


@pytest.mark.parametrize("layout", ["ensemble", "single"])
def test_nor_by_the_folders_of_a_build(layout: str, tmp_path: Path) -> None:
    write(tmp_path / "r", "tiny")
    export = tmp_path / "r" / "tiny_engine" / "1" / "export.onnx"
    onnx.save(TinyModel().model(), export)
    before = contents(tmp_path / "r")
    with pytest.raises(RepositoryError, match=r"lies in .*r/tiny_engine, which.*move the export"):
        build_model(tiny_spec(), export, tmp_path / "r", layout=layout)
    assert contents(tmp_path / "r") == before


def test_an_export_in_a_folder_of_the_users_can_be_built(tmp_path: Path) -> None:
    put_model_of_the_users(tmp_path / "r", "tiny_engine")
    export = tmp_path / "r" / "tiny_engine" / "1" / "model.onnx"
    onnx.save(TinyModel().model(), export)
    before = export.read_bytes()
    build_model(tiny_spec(), export, tmp_path / "r", layout="single")
    assert export.read_bytes() == before


@pytest.mark.parametrize("layout", ["ensemble", "single", "fused"])
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"classes": ("", "a", "b", "c", "d")}, "non-empty"),
        ({"classes": ("a" * 1_000_001, "b", "c", "d", "e")}, "1000000 characters"),
        ({"license": None}, "'license' must be a string"),
    ],
    ids=["empty", "endless", "license"],
)
def test_what_no_client_would_take_is_not_written(
    changes: dict[str, object], match: str, layout: str, tmp_path: Path
) -> None:
    write(tmp_path / "r", "street", layout)
    before = contents(tmp_path / "r")
    with pytest.raises(RepositoryError, match=rf"street: no client.*{match}.*Nothing was changed"):
        write(tmp_path / "r", "street", layout, **changes)
    assert contents(tmp_path / "r") == before


@pytest.mark.parametrize("place", ["", "1", "2", "notes"])
@pytest.mark.parametrize("folder", ["street", "street_argmax"])
def test_what_the_user_put_into_a_models_folder_stays(
    folder: str, place: str, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    write(repository, "street")
    theirs = repository / folder / place / "NOTES.txt"
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("how it was trained")
    top = theirs.relative_to(repository / folder).parts[0] if place != "1" else "1/NOTES.txt"
    refused(repository, f"{folder} holds {top}, which no build wrote", "street")
    refused(repository, f"{folder} holds {top}, which no build wrote", "street", "single")


def test_what_builds_and_servers_write_is_replaced(tmp_path: Path) -> None:
    onnx.save(TinyModel().model(), tmp_path / "export.onnx")
    repository = tmp_path / "repository"
    for layout in ("ensemble", "single", "ensemble"):
        build_model(tiny_spec(), tmp_path / "export.onnx", repository, layout=layout)
        for step in repository.glob("*/1/model.py"):  # as a server's Python does
            cache = step.parent / "__pycache__"
            cache.mkdir()
            (cache / "model.cpython-311.pyc").touch()


@pytest.mark.parametrize("moves", range(1, 9))
def test_a_build_that_is_interrupted_leaves_what_was_there(
    moves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    write(repository, "street")
    before = contents(repository)
    rename, done = Path.rename, []

    def interrupted(path: Path, target: Path) -> Path:
        result = rename(path, target)
        done.append(path)
        if len(done) == moves:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(repository, "street", ignore_index=7)
    monkeypatch.undo()
    assert contents(repository) == before
    assert not [path for path in repository.iterdir() if path.name.startswith(".")]


def test_what_a_killed_build_left_is_told(tmp_path: Path) -> None:
    """As `kill -9` leaves it: half of the new folders, and the old ones not yet removed."""
    repository = tmp_path / "repository"
    write(repository, "street")
    (repository / ".street.deadbeef.tmp").mkdir()
    retired = repository / ".street.deadbeef.old"
    retired.mkdir()
    (repository / "street").rename(retired / "street")
    outcome = CliRunner().invoke(cli, ["doctor", "--repository", str(repository)])
    assert outcome.exit_code == 1
    assert "a build that was killed had begun; remove it" in outcome.output
    assert "street as before a build that was killed while it replaced it" in outcome.output
    outcome = CliRunner().invoke(cli, ["serve", "--repository", str(repository)])
    assert outcome.exit_code == 1
    assert ".tmp: what a build that was killed had begun; remove it" in outcome.output
