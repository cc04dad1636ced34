"""Adding a version to a model: beside the others, or refused with nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tiny_models import SIZES, TinyModel, tiny_spec
from tritonseg_engines.cli.app import cli
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository import (
    Deployment,
    Engine,
    Provenance,
    remove_obsolete,
    write_model,
)
from tritonseg_engines.repository.check import (
    changed_since_build,
    check_repository,
    repository_remarks,
)
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.repository.shared_memory import shared_memory_mib
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.target import ServingLayout
from tritonseg_engines.tensorrt import Machine
from tritonseg_engines.zoo.street_demo import DEMO_NAME
from tritonseg_steps.upsampling import Upsampling


def write(
    repository: Path,
    version: str | None,
    layout: str = "single",
    *,
    spec: ModelSpec | None = None,
    runtime: str = "openvino",
    keeps_obsolete: bool = False,
    **engine: object,
) -> Path:
    """Write a model whose engine file says its version, and is otherwise nothing."""
    of_engine: dict[str, object] = {
        "file": "model.plan" if runtime == "tensorrt" else "model.onnx",
        "sizes": SIZES,
        "output_dims": (5, 16, 24),
        "upsampling": Upsampling(),
        "max_batch": 4,
        **engine,
    }
    digest = f"{int(version or '1'):064d}"
    deployment = Deployment(
        spec=spec or tiny_spec(),
        engine=Engine(**of_engine),  # type: ignore[arg-type]
        provenance=Provenance(
            onnx_sha256=digest, precision="fp32", runtime=runtime, tritonseg_version="1"
        ),
        layout=ServingLayout(layout),
    )
    built = repository.parent / "built.bin"
    built.write_text(f"the engine of {version}")
    provenance = {"runtime": runtime, "precision": "fp32"}
    manifest = {"provenance": provenance}
    write_model(
        repository, deployment, built, manifest, version=version, keeps_obsolete=keeps_obsolete
    )
    return repository


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def edit(repository: Path, change: Callable[[pb.ModelConfig], object]) -> None:
    path = repository / "tiny" / "config.pbtxt"
    config = read_config(path)
    change(config)
    path.write_text(text_format.MessageToString(config))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return write(tmp_path / "repository", None)


@pytest.mark.parametrize(("layout", "runtime"), [("single", "openvino"), ("fused", "tensorrt")])
def test_a_version_stands_beside_the_others(layout: str, runtime: str, tmp_path: Path) -> None:
    repository = write(tmp_path / "repository", None, layout, runtime=runtime)
    first = contents(repository / "tiny" / "1")
    write(repository, "3", layout, runtime=runtime)
    write(repository, "2", layout, runtime=runtime)
    assert contents(repository / "tiny" / "1") == first
    config = read_config(repository / "tiny" / "config.pbtxt")
    assert list(config.version_policy.specific.versions) == [1, 2, 3]
    engine = "model.plan" if runtime == "tensorrt" else "model.onnx"
    found = [(repository / "tiny" / one / engine).read_text()[-1] for one in "23"]
    assert found == ["2", "3"]
    assert changed_since_build(repository) == []


def test_a_version_is_replaced_and_what_was_tuned_stays(repository: Path) -> None:
    write(repository, "2")
    edit(repository, lambda config: setattr(config.instance_group[0], "count", 3))
    before = contents(repository / "tiny" / "2")
    write(repository, "1", spec=replace(tiny_spec(), source="trained anew"))
    assert contents(repository / "tiny" / "2") == before
    config = read_config(repository / "tiny" / "config.pbtxt")
    assert config.instance_group[0].count == 3
    assert "trained anew" in config.parameters["tritonseg_model@1"].string_value
    assert "trained anew" not in config.parameters["tritonseg_model"].string_value
    assert changed_since_build(repository) == []


def renamed(spec: ModelSpec) -> ModelSpec:
    return replace(spec, classes=(*spec.classes, "one more"), palette=(*spec.palette, (1, 2, 3)))


@pytest.mark.parametrize(
    ("version", "layout", "more", "match"),
    [
        (None, "single", {}, "has the versions 1 and 2; say with --version"),
        (None, "ensemble", {}, "has the versions 1 and 2; say with --version"),
        ("3", "ensemble", {}, "expected the layout single or fused for --version 3"),
        ("3", "fused", {}, "version 1 of tiny has the layout single"),
        ("3", "single", {"spec": renamed(tiny_spec())}, "outputs: expected .*another name"),
        ("3", "single", {"max_batch": 1}, "version 3: max_batch_size: expected at most 1"),
        ("3", "single", {"file": "other.onnx"}, None),
    ],
)
def test_what_cannot_stand_beside_the_others_is_refused(
    version: str | None,
    layout: str,
    more: dict[str, object],
    match: str | None,
    repository: Path,
) -> None:
    write(repository, "2")
    before = contents(repository)
    if match is None:  # an engine is named by each version for itself
        write(repository, version, layout, **more)  # type: ignore[arg-type]
        return
    with pytest.raises(RepositoryError, match=match):
        write(repository, version, layout, **more)  # type: ignore[arg-type]
    assert contents(repository) == before


def test_what_is_not_as_it_was_built_is_not_carried_over(repository: Path) -> None:
    engine = repository / "tiny" / "1" / "model.onnx"
    engine.write_bytes(b"another")
    with pytest.raises(RepositoryError, match=r"tiny/1/model.onnx is not the file that was built"):
        write(repository, "2")
    write(repository, "1")  # is how it is mended
    write(repository, "2")
    edit(repository, lambda config: config.parameters["tritonseg_engine@1"].CopyFrom(
        config.parameters["tritonseg_engine"]
    ))  # fmt: skip
    with pytest.raises(RepositoryError, match=r"tiny version 1: .*tritonseg_engine\.sha256"):
        write(repository, "3")


def test_doctor_looks_at_every_version(repository: Path) -> None:
    write(repository, "2")
    (repository / "tiny" / "1" / "model.onnx").write_bytes(b"another")
    found = check_repository(repository, Machine())
    assert (found["tiny version 2"], len(found["tiny version 1"])) == ([], 1)
    (line,) = found["tiny version 1"]
    assert line.startswith("tiny/1/model.onnx is not the file that was built")
    assert line.endswith(
        f"--repository {repository} --version 1 --runtime openvino --precision fp32"
    )


def test_a_version_that_was_copied_or_has_no_manifest_is_found(repository: Path) -> None:
    (repository / "tiny" / "1").rename(repository / "tiny" / "2")
    assert changed_since_build(repository)[0] == (
        "tiny: tiny/2 was built as version 1, and copied or renamed; remove that folder, or give "
        "it its name back"
    )
    (repository / "tiny" / "1").mkdir()
    assert any("tiny/1 is of no build" in line for line in changed_since_build(repository))


def test_folders_that_were_swapped_are_named_as_such(repository: Path) -> None:
    write(repository, "2")
    one, two = repository / "tiny" / "1", repository / "tiny" / "2"
    one.rename(repository / "one")
    two.rename(one)
    (repository / "one").rename(two)
    assert [line.partition(": ")[2] for line in changed_since_build(repository)] == [
        f"tiny/{here} was built as version {built}, and copied or renamed; remove that folder, or "
        "give it its name back"
        for here, built in (("1", "2"), ("2", "1"))
    ]


@pytest.mark.parametrize("place", ["version", "model", "nowhere"])
def test_a_version_without_a_manifest_is_not_lost(place: str, repository: Path) -> None:
    """It may be of a build from before manifests lay in the versions' folders."""
    manifest = repository / "tiny" / "1" / "manifest.json"
    if place != "version":
        content = manifest.read_bytes()
        manifest.unlink()
        if place == "model":
            (repository / "tiny" / "manifest.json").write_bytes(content)
        before = contents(repository)
        with pytest.raises(
            RepositoryError, match=r"tiny/1 has no manifest of a build.*--version 1"
        ):
            write(repository, "2")
        assert contents(repository) == before
        (line,) = changed_since_build(repository)
        again = "was built by an earlier tritonseg; build it again: tritonseg build SPEC.yaml"
        assert (again if place == "model" else "its manifest.json is missing") in line
        write(repository, "1")
    write(repository, "2")
    assert changed_since_build(repository) == []


def test_builds_at_once_lose_no_version(repository: Path, tmp_path: Path) -> None:
    """Each reads the versions that are there, and writes all of them."""
    folders = [tmp_path / f"of {version}" for version in range(2, 8)]

    def add(folder: Path) -> None:
        folder.mkdir()
        (folder / "repository").symlink_to(repository)
        write(folder / "repository", folder.name.removeprefix("of "))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, folders))
    config = read_config(repository / "tiny" / "config.pbtxt")
    assert list(config.version_policy.specific.versions) == list(range(1, 8))
    assert changed_since_build(repository) == []


def test_what_an_operator_left_out_stays_out(repository: Path) -> None:
    write(repository, "2")
    edit(repository, lambda config: config.version_policy.specific.versions.remove(2))
    for version in ("1", "3"):
        write(repository, version)
        config = read_config(repository / "tiny" / "config.pbtxt")
        assert list(config.version_policy.specific.versions) == [1]
    assert changed_since_build(repository) == []
    remarks = repository_remarks(repository)
    assert remarks["tiny version 1"] == []
    for version in ("2", "3"):
        (line,) = remarks[f"tiny version {version}"]
        assert line == "is not served: version_policy leaves it out"


def test_a_policy_that_names_what_is_not_there_is_found(repository: Path) -> None:
    edit(repository, lambda config: config.version_policy.specific.versions.append(9))
    (line,) = changed_since_build(repository)
    assert "version_policy in tiny/config.pbtxt names version 9, which is not there" in line


@pytest.mark.parametrize("version", ["1", "2"])
def test_provenance_is_what_was_built(version: str, repository: Path) -> None:
    write(repository, "2")
    key = "tritonseg_provenance" if version == "2" else "tritonseg_provenance@1"
    edit(repository, lambda config: config.parameters.pop(key))
    lines = changed_since_build(repository)
    assert any(
        line.startswith(f"tiny version {version}: ") and "tritonseg_provenance" in line
        for line in lines
    )


def test_what_a_killed_build_left_is_not_built_over(repository: Path) -> None:
    (repository / ".tiny.0123abcd.old").mkdir()
    (repository / "tiny").rename(repository / ".tiny.0123abcd.old" / "tiny")
    with pytest.raises(RepositoryError, match=r"move it back to .*, and remove the folder"):
        write(repository, "2")
    (repository / ".tiny.0123abcd.old" / "tiny").rename(repository / "tiny")
    write(repository, "2")
    assert changed_since_build(repository) == []


def test_steps_of_a_newer_ensemble_are_not_removed(tmp_path: Path) -> None:
    repository = write(tmp_path / "repository", None, "ensemble")
    write(repository, None, "single", keeps_obsolete=True)
    write(repository, None, "ensemble")  # while the first waits for servers that poll
    remove_obsolete(repository, "tiny", ServingLayout.SINGLE)
    assert (repository / "tiny_engine").is_dir()
    assert changed_since_build(repository) == []


def test_every_version_has_its_part_of_the_shared_memory(repository: Path) -> None:
    one = shared_memory_mib(repository)
    write(repository, "2")
    two = shared_memory_mib(repository)
    assert one < two <= 2 * one
    edit(repository, lambda config: config.version_policy.all.SetInParent())
    assert shared_memory_mib(repository) == two
    edit(repository, lambda config: config.version_policy.latest.SetInParent())
    assert shared_memory_mib(repository) == one


def test_the_command_adds_a_version(tmp_path: Path) -> None:
    onnx.save(TinyModel().model(), tmp_path / "export.onnx")
    arguments = ["build", DEMO_NAME, "--repository", str(tmp_path / "r")]
    for more in ([], ["--version", "2"]):
        outcome = CliRunner().invoke(cli, [*arguments, *more])
        assert outcome.exit_code == 0, outcome.output
    assert list(check_repository(tmp_path / "r", Machine())) == [
        "street-demo version 1", "street-demo version 2",
    ]  # fmt: skip
    outcome = CliRunner().invoke(cli, arguments)
    assert outcome.exit_code == 1
    assert "has the versions 1 and 2; say with --version" in outcome.output
