"""`--layout fused` and `single`: one folder instead of four, and back, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from tritonclient.grpc import model_config_pb2 as pb

from residual_network import residual_network, residual_spec, write_pictures
from tiny_models import ARGMAX, RESIZE, SIZE_HW, SIZES, TinyModel, run_onnx, tiny_spec
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.cli.app import cli
from tritonseg_engines.errors import RepositoryError, SpecificationError
from tritonseg_engines.repository import (
    Deployment,
    Engine,
    Provenance,
    Serving,
    write_model,
    writer,
)
from tritonseg_engines.repository.check import built_models, check_repository
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.target import BuildTarget, ServingLayout
from tritonseg_engines.tensorrt import Machine
from tritonseg_steps import contract
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.upsampling import Upsampling

FOUR = ["tiny", "tiny_argmax", "tiny_engine", "tiny_normalize"]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "export.onnx"
    onnx.save(TinyModel(tail=[RESIZE, ARGMAX]).model(), path)
    return path


@pytest.fixture
def build(export: Path, tmp_path: Path) -> Callable[..., Any]:
    def build(layout: str = "fused", **more: Any) -> Any:
        return build_model(tiny_spec(), export, tmp_path / "r", layout=layout, **more)

    return build


def folders(repository: Path) -> list[str]:
    return sorted(path.name for path in repository.iterdir())


def contents(repository: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}


def documents(config: pb.ModelConfig) -> dict[str, Any]:
    return {key: json.loads(value.string_value) for key, value in config.parameters.items()}


def test_one_folder_with_everything(build: Callable[..., Any], tmp_path: Path) -> None:
    report = build()
    assert folders(tmp_path / "r") == ["tiny"]
    assert report.model == tmp_path / "r" / "tiny"
    assert report.layout == "fused"
    assert report.equal_pixels_after_fuse >= 0.9999
    manifest = json.loads((report.model / "1" / "manifest.json").read_text())
    assert manifest["layout"] == "fused"
    assert manifest["equal_pixels_after_fuse"] == report.equal_pixels_after_fuse
    assert list(manifest["files"]) == ["tiny/1/model.onnx", "tiny/1/model.py"]
    facts = json.loads((report.model / "1" / "report.json").read_text())["facts"]
    assert facts["fused graph, pixels as in the ensemble"] == "100.0000%"
    assert built_models(tmp_path / "r") == ("tiny",)
    assert check_repository(tmp_path / "r", Machine()) == {"tiny": []}


def test_the_engine_is_the_whole_export(
    build: Callable[..., Any], export: Path, tmp_path: Path
) -> None:
    """The export ends in Resize and ArgMax itself, so it says what the map must be."""
    engine = onnx.load(build().model / "1" / "model.onnx")
    images_nhwc = np.random.default_rng(0).integers(0, 256, (2, *SIZE_HW, 3)).astype(np.uint8)
    normalized = ((images_nhwc - 127.5) / 127.5).transpose(0, 3, 1, 2)
    expected = run_onnx(onnx.load(export), np.ascontiguousarray(normalized, np.float32))
    assert (run_onnx(engine, images_nhwc) == expected).mean() >= 0.9999


def test_the_config_is_the_engines_with_the_ensembles_border(
    build: Callable[..., Any], tmp_path: Path
) -> None:
    fused = read_config(build().model / "config.pbtxt")
    fused_digest = sha256_of(tmp_path / "r" / "tiny" / "1" / "model.onnx")
    build("ensemble")
    ensemble = read_config(tmp_path / "r" / "tiny" / "config.pbtxt")
    engine = read_config(tmp_path / "r" / "tiny_engine" / "config.pbtxt")
    ((image,), (class_map, which_build)) = fused.input, fused.output
    assert (image.name, list(image.dims)) == (contract.IMAGE, [*SIZE_HW, 3])
    assert (class_map.name, list(class_map.dims)) == (contract.CLASS_MAP, list(SIZE_HW))
    assert image.data_type == class_map.data_type == pb.TYPE_UINT8
    assert (which_build.name, list(which_build.dims)) == (contract.MODEL_DIGEST, [32])
    assert fused.name == "tiny"
    for of_the_engine in ("backend", "max_batch_size", "instance_group"):
        assert getattr(fused, of_the_engine) == getattr(engine, of_the_engine)
    digest = sha256_of(tmp_path / "r" / "tiny_engine" / "1" / "model.onnx")
    first = documents(read_config(tmp_path / "r" / "tiny_normalize" / "config.pbtxt"))
    limits = {contract.QUEUE_PARAMETER: first[contract.QUEUE_PARAMETER]}
    both = {**documents(ensemble), **documents(engine), **limits}
    fused_engine = documents(fused)[contract.ENGINE_PARAMETER]
    assert fused_engine.pop("sha256") != both[contract.ENGINE_PARAMETER].pop("sha256") == digest
    of_the_build = documents(fused)
    published = [of_the_build[contract.PROVENANCE_PARAMETER], both[contract.PROVENANCE_PARAMETER]]
    engines = [one.pop("engine_sha256") for one in published]
    assert engines == [fused_digest, digest]
    assert of_the_build.pop(contract.DIGEST_PARAMETER) != both.pop(contract.DIGEST_PARAMETER)
    assert {**of_the_build, contract.ENGINE_PARAMETER: fused_engine} == both
    (sample,) = fused.model_warmup
    assert list(sample.inputs) == [contract.IMAGE]
    fed = sample.inputs[contract.IMAGE]
    assert (fed.data_type, list(fed.dims)) == (pb.TYPE_UINT8, [*SIZE_HW, 3])


def test_there_and_back_again_leaves_nothing_behind(
    build: Callable[..., Any], tmp_path: Path
) -> None:
    other = tmp_path / "r" / "tiny_other"
    other.mkdir(parents=True)
    for layout, expected in (("ensemble", FOUR), ("fused", ["tiny"]), ("ensemble", FOUR)):
        build(layout)
        assert folders(tmp_path / "r") == sorted([*expected, "tiny_other"])
        manifest = json.loads((tmp_path / "r" / "tiny" / "1" / "manifest.json").read_text())
        assert manifest["layout"] == layout


@pytest.mark.parametrize("layout", ["ensemble", "fused"])
def test_a_failed_write_leaves_the_other_layout_as_it_was(
    layout: str, build: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build("fused" if layout == "ensemble" else "ensemble")
    before = contents(tmp_path / "r")

    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_write_config", disk_full)
    with pytest.raises(RepositoryError, match="nothing was changed"):
        build(layout)
    assert contents(tmp_path / "r") == before


def test_a_failed_move_brings_the_four_folders_back(
    build: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new folder is in place already when the third of the old ones cannot be removed."""
    build("ensemble")
    before = contents(tmp_path / "r")
    rename, calls = Path.rename, []

    def failing(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) == 4:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(RepositoryError, match="nothing was changed"):
        build("fused")
    assert len(calls) > 4
    assert contents(tmp_path / "r") == before


def test_for_tensorrt_without_a_gpu_the_fused_onnx_is_written(
    build: Callable[..., Any], tmp_path: Path
) -> None:
    report = build(runtime="tensorrt", options=BuildOptions(onnx_only=True))
    assert report.model == tmp_path / "tiny.fused.fp32.onnx"
    assert [value.name for value in onnx.load(report.model).graph.input] == [contract.IMAGE]
    assert report.equal_pixels_after_fuse >= 0.9999
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("runtime", ["openvino", "tensorrt"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_every_precision(precision: str, runtime: str, tmp_path: Path) -> None:
    onnx.save(residual_network(), tmp_path / "export.onnx")
    options = BuildOptions(
        calibration=write_pictures(tmp_path / "calibration", 8),
        pictures=write_pictures(tmp_path / "pictures", 2, seed=1),
        minimum_pictures=8,
        onnx_only=True,
        accept=True,  # a network of random weights; the gate is not the matter here
    )
    report = build_model(
        residual_spec(),
        tmp_path / "export.onnx",
        tmp_path / "r",
        precision=precision,
        runtime=runtime,
        layout="fused",
        options=options,
    )
    assert report.equal_pixels_after_fuse >= 0.999
    stored = {value.data_type for value in onnx.load(report.model).graph.initializer}
    typed = {"fp16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8}[precision]
    assert typed in stored


def plan_deployment(**changes: Any) -> Deployment:
    engine = Engine(
        file="model.plan",
        sizes=changes.pop("sizes", SIZES),
        output_dims=(5, 16, 24),
        upsampling=Upsampling(),
    )
    provenance = Provenance(
        onnx_sha256="0" * 64, precision="fp16", runtime="tensorrt", tritonseg_version="1"
    )
    fields = {"layout": ServingLayout.FUSED, **changes}
    return Deployment(spec=tiny_spec(), engine=engine, provenance=provenance, **fields)


def test_on_a_gpu_the_plan_lies_under_the_models_own_name(tmp_path: Path) -> None:
    serving = Serving(max_batch_size=4, engine_instances=2, queue_delay_us=250)
    plan = tmp_path / "plan"
    plan.write_bytes(b"the engine")
    manifest = {"provenance": {"runtime": "tensorrt"}}
    deployment = plan_deployment(serving=serving)
    write_model(tmp_path / "r", deployment, plan, manifest)
    assert folders(tmp_path / "r") == ["tiny"]
    version = tmp_path / "r" / "tiny" / "1"
    assert folders(version) == ["manifest.json", "model.plan"]
    config = read_config(version.parent / "config.pbtxt")
    assert config.platform == "tensorrt_plan"
    (group,) = config.instance_group
    assert (group.kind, group.count) == (pb.ModelInstanceGroup.KIND_GPU, 2)
    assert [sample.batch_size for sample in config.model_warmup] == [1, 4]
    assert config.dynamic_batching.max_queue_delay_microseconds == 250


def test_no_config_is_written_of_what_cannot_be() -> None:
    with pytest.raises(RepositoryError, match=r"expected a fixed size .* got \(None, 96\)"):
        plan_deployment(sizes=NetworkSizes(width=96))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"layout": "flat"}, "layout: expected one of ensemble, single, fused, got 'flat'"),
        ({"runtime": "onnx"}, "runtime: expected one of openvino, tensorrt, got 'onnx'"),
        ({"precision": "fp8"}, "precision: expected one of fp32, fp16, int8, got 'fp8'"),
    ],
)
def test_words_that_mean_nothing_are_refused(words: dict[str, str], message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        BuildTarget.of(**words)


def test_what_does_not_fit_the_layout_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    onnx.save(TinyModel(tail=[RESIZE], size_hw=(None, None)).model(), tmp_path / "open.onnx")
    spec = tiny_spec(height=None, width=None)
    told: list[str] = []
    with pytest.raises(SpecificationError, match="fused layout takes pictures of one size"):
        build_model(
            spec,
            tmp_path / "open.onnx",
            tmp_path / "r",
            layout="fused",
            progress=lambda what, *_: told.append(what),
        )
    assert not told
    assert not (tmp_path / "r").exists()


def test_an_unknown_layout_is_refused(build: Callable[..., Any]) -> None:
    with pytest.raises(SpecificationError, match="layout: expected one of ensemble, single, fused"):
        build("flat")


def build_words(export: Path, folder: Path, layout: str) -> list[str]:
    """What is typed to build the network that is in `export`."""
    (folder / "tiny.yaml").write_text(
        "name: tiny\ninput: {name: image, height: 64, width: 96}\n"
        "mean: [127.5, 127.5, 127.5]\nscale: [127.5, 127.5, 127.5]\nresize: {policy: native}\n"
        "output: {name: output}\nclasses: [a, b, c, d, e]\n"
    )
    words = ["build", str(folder / "tiny.yaml"), "--onnx", str(export), "--layout", layout]
    return [*words, "--repository", str(folder / "r")]


def test_the_command_says_that_a_server_goes_on_with_the_build_before(
    export: Path, tmp_path: Path
) -> None:
    words = build_words(export, tmp_path, "single")
    runs = (words, [*words, "--onnx-only"], words, [*words, "--version", "2"])
    outcomes = [CliRunner().invoke(cli, run) for run in runs]
    assert [outcome.exit_code for outcome in outcomes] == [0] * 4
    line = "a server that has loaded the build before goes on with it until it is started again"
    assert [line in outcome.output for outcome in outcomes] == [False, False, True, False]


def test_the_command_says_what_it_fused(export: Path, tmp_path: Path) -> None:
    arguments = build_words(export, tmp_path, "fused")
    spoken = CliRunner().invoke(cli, arguments)
    assert spoken.exit_code == 0, spoken.output
    assert "fused the steps into the graph: 100.0000% of the pixels as in the" in spoken.output
    document = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).stdout)
    assert document["layout"] == "fused"
    assert document["equal_pixels_after_fuse"] >= 0.9999


def test_the_single_layout_is_one_folder_with_the_ensembles_contract(
    build: Callable[..., Any], tmp_path: Path
) -> None:
    ensemble = read_config(build("ensemble").model / "config.pbtxt")
    single = read_config(build("single").model / "config.pbtxt")
    assert [folder.name for folder in (tmp_path / "r").iterdir()] == ["tiny"]
    assert list(single.input) == list(ensemble.input)
    assert list(single.output) == list(ensemble.output)
    for key, parameter in ensemble.parameters.items():
        assert single.parameters[key] == parameter
    assert not single.HasField("dynamic_batching")
    assert single.parameters[contract.QUEUE_PARAMETER].string_value == "64"
    assert contract.QUEUE_TIME_PARAMETER not in single.parameters
    assert "WholePipelineStep" in (tmp_path / "r" / "tiny" / "1" / "model.py").read_text()
    build("ensemble")
    assert sorted(folder.name for folder in (tmp_path / "r").iterdir()) == FOUR


def test_argmax_on_the_gpu_needs_an_engine_there(build: Callable[..., Any]) -> None:
    options = BuildOptions(gpu_argmax=True)
    for layout in ("single", "ensemble"):
        with pytest.raises(SpecificationError, match="argmax on the GPU: expected the runtime ten"):
            build(layout, options=options)


def test_the_single_layout_is_for_the_cpu(build: Callable[..., Any]) -> None:
    with pytest.raises(SpecificationError, match="layout single: expected the runtime openvino"):
        build("single", runtime="tensorrt")
