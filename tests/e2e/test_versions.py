"""Versions side by side in a real Triton: each answers with its own masks and says what it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper
from PIL import Image

from own_mask import own_mask
from tiny_models import SIZE_HW, TinyModel, tiny_spec
from tritonseg import ModelNotFoundError, SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.cli.segment_command import command as segment
from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.repository.check import check_repository
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer, server
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.tensorrt import Machine

IMAGE = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), np.uint8)
VERSIONS = ("1", "2", "10")


def variant(folder: Path, version: str) -> tuple[Path, ModelSpec]:
    """An export whose classes are turned by the version, under names of its own and another mean.

    A version that answers with another's network, class names or preprocessing is caught.
    """
    model, turn = TinyModel().model(), int(version) % 5
    (weight,) = (one for one in model.graph.initializer if one.name == "weight")
    turned = np.roll(numpy_helper.to_array(weight), turn, axis=0)
    weight.CopyFrom(numpy_helper.from_array(turned, "weight"))
    path = folder / f"export-{version}.onnx"
    onnx.save(model, path)
    spec = tiny_spec()
    classes = tuple(f"{name} of {version}" for name in spec.classes)
    mean = tuple(value + turn for value in spec.preprocessing.mean)
    return path, replace(
        spec, classes=classes, preprocessing=replace(spec.preprocessing, mean=mean)
    )


def build(repository: Path, version: str | None, layout: str, variant_of: str = "") -> None:
    export, spec = variant(repository.parent, variant_of or version or "1")
    options = BuildOptions(version=version)
    build_model(spec, export, repository, layout=layout, options=options)


@pytest.fixture(scope="module", params=["single", "fused"])
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp(request.param) / "repository"
    build(repository, None, request.param)
    for version in ("10", "2"):  # in no order: the highest is the one that is served by default
        build(repository, version, request.param)
    return repository


@pytest.fixture(scope="module")
def triton(repository: Path) -> Iterator[TritonServer]:
    with TritonServer(ServerConfig(repositories=(repository,))) as running:
        yield running


@pytest.mark.parametrize("version", [*VERSIONS, None])
def test_every_version_is_its_own_export(
    version: str | None, triton: TritonServer, repository: Path, tmp_path: Path
) -> None:
    export, spec = variant(tmp_path, version or "10")
    expected, is_stable = own_mask(export, spec, IMAGE)
    others = [own_mask(*variant(tmp_path, one), IMAGE)[0] for one in VERSIONS if one != version]
    with SegmentationClient(triton.grpc_url, model="tiny", model_version=version) as client:
        result = client.segment(IMAGE)
        assert client.is_ready()
    assert np.array_equal(result.class_map[is_stable], expected[is_stable])
    assert is_stable.mean() > 0.9
    assert any(not np.array_equal(other[is_stable], expected[is_stable]) for other in others)
    assert (result.model_version, result.model.version) == ((version or "10"),) * 2
    assert result.classes == spec.classes
    manifest = json.loads((repository / "tiny" / (version or "10") / "manifest.json").read_text())
    assert result.model.onnx_sha256 == manifest["provenance"]["onnx_sha256"]


def test_the_command_takes_a_version(triton: TritonServer, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    Image.fromarray(IMAGE).save(picture)
    arguments = [str(picture), "--url", triton.grpc_url, "--model", "tiny", "--json"]
    outcome = CliRunner().invoke(segment, [*arguments, "-o", str(tmp_path), "--model-version", "2"])
    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.output)["model_version"] == "2"


def test_a_version_that_is_not_there_is_not_found(triton: TritonServer) -> None:
    with SegmentationClient(triton.grpc_url, model="tiny", model_version="3") as client:
        assert not client.is_ready()
        with pytest.raises(ModelNotFoundError, match=r"model 'tiny' version 3 at"):
            client.segment(IMAGE)


def test_versions_as_built_have_no_problem(repository: Path) -> None:
    expected = {f"tiny version {version}": [] for version in VERSIONS}
    assert check_repository(repository, Machine()) == expected


def test_an_operator_may_go_back_to_a_version(repository: Path, tmp_path: Path) -> None:
    pinned = Path(shutil.copytree(repository, tmp_path / "repository"))
    path = pinned / "tiny" / "config.pbtxt"
    config = read_config(path)
    config.version_policy.specific.versions[:] = [2]
    path.write_text(str(config))
    shutil.rmtree(pinned / "tiny" / "10")
    export, spec = variant(tmp_path, "2")
    expected, is_stable = own_mask(export, spec, IMAGE)
    with (
        TritonServer(ServerConfig(repositories=(pinned,))) as running,
        SegmentationClient(running.grpc_url, model="tiny") as client,
    ):
        result = client.segment(IMAGE)
    assert (result.model_version, result.classes) == ("2", spec.classes)
    assert np.array_equal(result.class_map[is_stable], expected[is_stable])


@pytest.mark.parametrize("layout", ["ensemble", "single"])
def test_a_version_put_there_by_hand_is_not_served(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a Triton that nobody asked to look at the repository first."""
    monkeypatch.setattr(server, "checked_repositories", lambda config: config.repositories)
    repository = tmp_path / "repository"
    build(repository, None, layout)
    (tmp_path / "other").mkdir()
    build(tmp_path / "other" / "repository", None, layout, variant_of="3")
    for folder in sorted(repository.iterdir()):
        other = tmp_path / "other" / "repository" / folder.name / "1"
        shutil.copytree(other, folder / "2")
    expected, is_stable = own_mask(*variant(tmp_path, "1"), IMAGE)
    with (
        TritonServer(ServerConfig(repositories=(repository,))) as running,
        SegmentationClient(running.grpc_url, model="tiny") as client,
    ):
        result = client.segment(IMAGE)
    assert result.model_version == "1"
    assert np.array_equal(result.class_map[is_stable], expected[is_stable])


@pytest.mark.parametrize(
    "key", ["tritonseg_model@1", "tritonseg_preprocessing@1", "tritonseg_provenance@1"]
)
def test_what_a_version_lost_of_its_own_is_not_taken_from_another(
    key: str, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a Triton that nobody asked to look at the repository first."""
    monkeypatch.setattr(server, "checked_repositories", lambda config: config.repositories)
    edited = Path(shutil.copytree(repository, tmp_path / "repository"))
    path = edited / "tiny" / "config.pbtxt"
    config = read_config(path)
    del config.parameters[key]
    path.write_text(str(config))
    with (
        pytest.raises(ServerStartError, match=r"config\.pbtxt was changed since the build"),
        TritonServer(ServerConfig(repositories=(edited,))),
    ):
        pass
