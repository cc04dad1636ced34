"""What is not as it passed its gate is refused: an engine by any Triton, a config by `serve`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from google.protobuf import text_format

from tiny_models import SIZE_HW, TinyModel, tiny_spec
from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.cli.app import cli
from tritonseg_engines.errors import RepositoryError, ServerStartError
from tritonseg_engines.graph.onnx_file import save_onnx
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_steps.contract import ENGINE_PARAMETER, QUEUE_PARAMETER

LAYOUTS = {"single": "tiny", "fused": "tiny", "ensemble": "tiny_engine"}
"""The Triton model with the engine, by layout."""


def build(folder: Path, layout: str) -> Path:
    save_onnx(TinyModel().model(), folder / "export.onnx")
    repository = folder / "repository"
    build_model(tiny_spec(), folder / "export.onnx", repository, layout=layout)
    return repository


def exchange(repository: Path, model: str) -> None:
    """Put another file into the engine's place, which gives other bytes and the same masks."""
    path = repository / model / "1" / "model.onnx"
    other = onnx.load(path)
    other.producer_name = "elsewhere"
    onnx.save(other, path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_serve_refuses_in_one_line(layout: str, tmp_path: Path) -> None:
    repository = build(tmp_path, layout)
    exchange(repository, LAYOUTS[layout])
    outcome = CliRunner().invoke(cli, ["serve", "--repository", str(repository)])
    assert outcome.exit_code == 1
    (line,) = outcome.output.splitlines()
    assert line.startswith(
        f"Error: tiny: {LAYOUTS[layout]}/1/model.onnx is not the file that was built (its SHA-256 "
        "differs); build it again: tritonseg build SPEC.yaml --onnx FILE"
    )


def test_serve_names_one_and_counts_the_others(tmp_path: Path) -> None:
    repository = build(tmp_path, "single")
    exchange(repository, "tiny")
    shutil.copytree(repository / "tiny", repository / "other")  # which is one more thing to refuse
    with pytest.raises(RepositoryError, match=r"^other: .*; 1 more, which `tritonseg doctor` list"):
        TritonServer(ServerConfig(repositories=(repository,))).start()


def test_only_models_that_are_served_are_looked_at(tmp_path: Path) -> None:
    repository = build(tmp_path, "single")
    shutil.copytree(repository / "tiny", repository / "broken")
    (repository / "broken" / "1" / "model.onnx").write_bytes(b"another")
    with TritonServer(ServerConfig(repositories=(repository,), models=("tiny",))) as server:
        assert mask(server).shape == SIZE_HW


@pytest.mark.parametrize("layout", ["single", "fused"])
def test_an_engine_that_is_not_the_published_one_is_not_loaded(layout: str, tmp_path: Path) -> None:
    """Its own checksum was made to fit, and answers would carry the digest of the one before."""
    repository = build(tmp_path, layout)
    exchange(repository, "tiny")
    path = repository / "tiny" / "config.pbtxt"
    config = read_config(path)
    parameter = config.parameters[ENGINE_PARAMETER]
    document = json.loads(parameter.string_value)
    was, document["sha256"] = document["sha256"], sha256_of(path.parent / "1" / "model.onnx")
    parameter.string_value = json.dumps(document)
    path.write_text(text_format.MessageToString(config))
    manifest = path.parent / "1" / "manifest.json"
    manifest.write_text(
        json.dumps({**json.loads(manifest.read_text()), "files": {}, "settings": {}})
    )
    line = f"publishes the engine {was}, and '{ENGINE_PARAMETER}' is of {document['sha256']}"
    with pytest.raises(ServerStartError, match=line):
        TritonServer(ServerConfig(repositories=(repository,))).start()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_triton_refuses_it(layout: str, tmp_path: Path) -> None:
    """Without checksums in the manifest the launcher knows of nothing, as any other Triton."""
    repository = build(tmp_path, layout)
    exchange(repository, LAYOUTS[layout])
    path = repository / "tiny" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "files": {}, "settings": {}}))
    with pytest.raises(ServerStartError) as caught:
        TritonServer(ServerConfig(repositories=(repository,))).start()
    name = LAYOUTS[layout]
    # Where Triton loads models one by one it says the same once more at the end.
    line, *_ = (line for line in str(caught.value).splitlines() if "SHA-256" in line)
    assert f"RuntimeError: {name}: " in line
    assert f"{name}/1/model.onnx is not the file that was built (its SHA-256 differs)" in line
    assert line.endswith("build the model again with `tritonseg build`")


def test_a_missing_engine_is_said_to_be_missing(tmp_path: Path) -> None:
    repository = build(tmp_path, "single")
    (repository / "tiny" / "1" / "model.onnx").unlink()
    with pytest.raises(RepositoryError, match=r"^tiny: tiny/1/model.onnx is missing; build it"):
        TritonServer(ServerConfig(repositories=(repository,))).start()


def rewrite(repository: Path, old: str, new: str) -> None:
    """Write something else into every config that has it."""
    for path in repository.glob("*/config.pbtxt"):
        path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_serve_refuses_another_mean_in_one_line(layout: str, tmp_path: Path) -> None:
    repository = build(tmp_path, layout)
    rewrite(repository, "127.5, 127.5, 127.5], ", "60.0, 127.5, 127.5], ")
    outcome = CliRunner().invoke(cli, ["serve", "--repository", str(repository)])
    assert outcome.exit_code == 1
    (line,) = outcome.output.splitlines()
    assert line.startswith(
        "Error: tiny: tiny/config.pbtxt: tritonseg_preprocessing.mean: expected [127.5, 127.5, "
        "127.5] as built, got [60.0, 127.5, 127.5]; put that back, or build it again: tritonseg "
        "build SPEC.yaml --onnx FILE"
    )


@pytest.mark.parametrize("layout", ["single", "ensemble"])
def test_what_is_tuned_is_served_and_gives_the_same_masks(layout: str, tmp_path: Path) -> None:
    repository = build(tmp_path, layout)
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        before = mask(server)
    rewrite(repository, "max_batch_size: 8", "max_batch_size: 2  # by perf_analyzer")
    rewrite(repository, "count: 1", "count: 2")
    path = repository / LAYOUTS[layout] / "config.pbtxt"
    limit = f'parameters {{ key: "{QUEUE_PARAMETER}" value {{ string_value: "9" }} }}'
    path.write_text(f"{path.read_text()}\n{limit}\n")
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        assert np.array_equal(mask(server), before)


def mask(server: TritonServer) -> np.ndarray:
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3)).astype(np.uint8)
    with SegmentationClient(server.grpc_url, model="tiny") as client:
        return client.segment(picture).class_map
