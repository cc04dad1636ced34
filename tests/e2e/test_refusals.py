"""What a real server and a caller do when something is wrong: one clear sentence, soon."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import InferenceServerException

from branching_network import branching_network
from tiny_models import RESIZE, SIZE_HW, TinyModel, tiny_spec
from tritonseg import (
    InferenceFailedError,
    ModelNotFoundError,
    RequestRejectedError,
    SegmentationClient,
)
from tritonseg_engines.build.model import build_model
from tritonseg_engines.cli.app import COMMANDS, cli
from tritonseg_engines.errors import RepositoryError, ServerStartError
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_steps.contract import CONTRACT_VERSION
from tritonseg_steps.resize_policy import Native

SOON_S = 5.0


def of_another_contract(demo_repository: Path, folder: Path, pattern: str) -> Path:
    repository = folder / "model_repository"
    shutil.copytree(demo_repository, repository)
    for config in repository.glob(f"{pattern}/config.pbtxt"):
        text = config.read_text()
        other = text.replace(rf'"\"{CONTRACT_VERSION}\""', r'"\"0\""')
        assert other != text
        config.write_text(other)
    return repository


def test_a_model_of_another_contract_is_refused_before_the_server_starts(
    demo_repository: Path, tmp_path: Path
) -> None:
    repository = of_another_contract(demo_repository, tmp_path, "*")
    with (
        pytest.raises(RepositoryError, match=r'^street-demo: was written for contract "0"'),
        TritonServer(ServerConfig(repositories=(repository,))),
    ):
        pass


def test_steps_of_another_contract_refuse_to_load(demo_repository: Path, tmp_path: Path) -> None:
    """Also where the launcher did not see it: it looks at the model that a client calls."""
    repository = of_another_contract(demo_repository, tmp_path, "*_*")
    with (
        pytest.raises(ServerStartError, match="built for tritonseg contract '0'"),
        TritonServer(ServerConfig(repositories=(repository,))),
    ):
        pass


def test_a_truncated_network_keeps_the_server_from_starting(
    demo_repository: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "model_repository"
    shutil.copytree(demo_repository, repository)
    engine = repository / "street-demo_engine" / "1" / "model.onnx"
    engine.write_bytes(engine.read_bytes()[:1000])
    with (
        pytest.raises(
            RepositoryError, match=r"street-demo_engine/1/model\.onnx is not the file that"
        ),
        TritonServer(ServerConfig(repositories=(repository,))),
    ):
        pass


def test_a_server_without_the_model_says_so(demo_server: TritonServer) -> None:
    started = time.perf_counter()
    with (
        SegmentationClient(demo_server.grpc_url, model="absent") as client,
        pytest.raises(ModelNotFoundError, match="absent"),
    ):
        client.segment(np.zeros((8, 8, 3), np.uint8))
    assert time.perf_counter() - started < SOON_S


def test_a_picture_of_a_size_the_network_cannot_take_is_named(tmp_path: Path) -> None:
    """A network of a fixed size and no resize policy."""
    onnx.save(TinyModel(tail=[RESIZE]).model(), tmp_path / "tiny.onnx")
    build_model(tiny_spec(), tmp_path / "tiny.onnx", tmp_path / "repository")
    with (
        TritonServer(ServerConfig(repositories=(tmp_path / "repository",))) as server,
        SegmentationClient(server.grpc_url, model="tiny") as client,
    ):
        assert client.segment(np.zeros((*SIZE_HW, 3), np.uint8)).class_map.shape == SIZE_HW
        with pytest.raises(RequestRejectedError, match=r"64x96 .* only, got 70x100"):
            client.segment(np.zeros((70, 100, 3), np.uint8))


@pytest.mark.parametrize("shape", [(1, 0, 8, 3), (1, 8, 0, 3)])
def test_an_empty_picture_sent_past_the_client_is_answered_without_paths(
    demo_server: TritonServer, shape: tuple[int, ...]
) -> None:
    raw = triton.InferenceServerClient(demo_server.grpc_url)
    image = triton.InferInput("IMAGE", list(shape), "UINT8")
    image.set_data_from_numpy(np.zeros(shape, np.uint8))
    with pytest.raises(InferenceServerException) as caught:
        raw.infer("street-demo", [image])
    assert "Traceback" not in str(caught.value)
    assert "/" not in str(caught.value)
    raw.close()


def test_a_size_that_an_open_network_cannot_take_is_named(tmp_path: Path) -> None:
    """Its branches meet again where the stride divides the size, and padding leads there."""
    onnx.save(branching_network(), tmp_path / "export.onnx")
    spec = tiny_spec(height=None, width=None)
    build_model(spec, tmp_path / "export.onnx", tmp_path / "repository")
    resize = Native(size_divisor=8)
    padding = replace(spec, name="padded", preprocessing=replace(spec.preprocessing, resize=resize))
    build_model(padding, tmp_path / "export.onnx", tmp_path / "repository")
    with (
        TritonServer(ServerConfig(repositories=(tmp_path / "repository",))) as server,
        SegmentationClient(server.grpc_url, model="tiny") as client,
        SegmentationClient(server.grpc_url, model="padded") as padding_client,
    ):
        assert client.segment(np.zeros((64, 96, 3), np.uint8)).class_map.shape == (64, 96)
        with pytest.raises(RequestRejectedError, match="multiples of 8, got 61x96; pad"):
            client.segment(np.zeros((61, 96, 3), np.uint8))
        result = padding_client.segment(np.zeros((61, 95, 3), np.uint8))
        assert result.class_map.shape == (61, 95)


def test_a_size_that_only_the_runtime_finds_wanting_is_said_in_words(tmp_path: Path) -> None:
    """A network that takes whatever the build tries, and 1204 pixels no more."""
    model = TinyModel(size_hw=(None, None)).model()
    model.graph.node[-1].output[0] = "scores"
    places = numpy_helper.from_array(np.zeros((1, 1, 300, 1), np.float32), "places")
    model.graph.initializer.append(places)
    for name, value in (("first", [0]), ("axis", [2])):
        constant = numpy_helper.from_array(np.array(value, np.int64), name)
        model.graph.initializer.append(constant)
    model.graph.node.extend(
        [
            helper.make_node("Shape", ["scores"], ["rows"], start=2, end=3),
            helper.make_node("Slice", ["places", "first", "rows", "axis"], ["of_rows"]),
            helper.make_node("Add", ["scores", "of_rows"], ["output"]),
        ]
    )
    onnx.save(model, tmp_path / "export.onnx")
    spec = tiny_spec(height=None, width=None)
    build_model(spec, tmp_path / "export.onnx", tmp_path / "repository")
    with (
        TritonServer(ServerConfig(repositories=(tmp_path / "repository",))) as server,
        SegmentationClient(server.grpc_url, model="tiny") as client,
    ):
        assert client.segment(np.zeros((1200, 8, 3), np.uint8)).class_map.shape == (1200, 8)
        with pytest.raises(RequestRejectedError, match=r"does not take this picture, .* 1204x8"):
            client.segment(np.zeros((1204, 8, 3), np.uint8))


def where_it_is_red(name: str, op_type: str, *inputs: str) -> list[onnx.NodeProto]:
    """An operator whose last input is 0 where the whole picture is much more red than blue."""
    return [
        helper.make_node("Mul", ["image", "red_over_blue"], ["redness"]),
        helper.make_node("ReduceMean", ["redness"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Sub", ["limit", "mean"], ["below"]),
        helper.make_node("Relu", ["below"], ["distance"]),
        helper.make_node(op_type, [*inputs, "distance"], [name]),
    ]


def divides_by_zero() -> onnx.ModelProto:
    model = TinyModel().model()
    model.graph.node[-1].output[0] = "raw"
    model.graph.node.extend(where_it_is_red("output", "Div", "raw"))
    return model


def gives_class_minus_one() -> onnx.ModelProto:
    """Where it is red, an ArgMax else."""
    model = TinyModel(tail=[RESIZE, ("ArgMax", {"axis": 1, "keepdims": 1})]).model()
    model.graph.node[-1].output[0] = "indices"
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["indices"], ["classes"], to=TensorProto.FLOAT),
            *where_it_is_red("is_red", "Equal", "zero"),
            helper.make_node("Where", ["is_red", "minus_one", "classes"], ["output"]),
        ]
    )
    for name, value in (("zero", 0), ("minus_one", -1)):
        constant = numpy_helper.from_array(np.array(value, np.float32), name)
        model.graph.initializer.append(constant)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    return model


@pytest.mark.parametrize("layout", ["ensemble", "single", "fused"])
@pytest.mark.parametrize(
    ("export", "kind", "words"),
    [
        (divides_by_zero, "scores", "NaN or infinite scores for this picture"),
        (gives_class_minus_one, "class_map", "another class than those|index of no class"),
    ],
)
def test_what_means_no_class_is_an_error_of_that_request(
    export: Callable[[], onnx.ModelProto], kind: str, words: str, layout: str, tmp_path: Path
) -> None:
    """Of one picture in a million, which no build will have seen."""
    spec = tiny_spec(kind=kind)
    spec = replace(
        spec, preprocessing=replace(spec.preprocessing, mean=(100.0,) * 3, scale=(50.0,) * 3)
    )
    model = export()
    red_over_blue = np.array([3, 0, -3], np.float32).reshape(1, 3, 1, 1)
    for name, value in (("limit", np.array(3, np.float32)), ("red_over_blue", red_over_blue)):
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    onnx.save(model, tmp_path / "export.onnx")
    build_model(spec, tmp_path / "export.onnx", tmp_path / "repository", layout=layout)
    right, wrong = (np.full((*SIZE_HW, 3), colour, np.uint8) for colour in (90, (255, 0, 0)))
    with (
        TritonServer(ServerConfig(repositories=(tmp_path / "repository",))) as server,
        SegmentationClient(server.grpc_url, model="tiny") as client,
    ):
        before = client.segment(right).class_map
        with pytest.raises(InferenceFailedError, match=words):
            client.segment(wrong)
        assert np.array_equal(client.segment(right).class_map, before)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["build", "nothing", "--onnx", "x.onnx"], "expected one of"),
        (["build", "absent.yaml", "--onnx", "x.onnx"], "No such file"),
        (["build", "../up", "--onnx", "x.onnx"], "expected one of"),
        (["segment", "no.jpg", "--model", "street-demo", "--url", "127.0.0.1:9"], "no.jpg"),
        (["segment", "no.jpg", "--model", "../up"], "../up"),
        (["serve", "--repository", "absent"], "absent"),
        (["demo", "no.jpg"], "no.jpg"),
    ],
)
def test_commands_fail_with_one_line_and_exit_code_1(
    arguments: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("no.jpg").write_text("no picture")
    started = time.perf_counter()
    outcome = CliRunner().invoke(cli, arguments)
    assert time.perf_counter() - started < SOON_S
    assert outcome.exit_code == 1
    assert expected in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("arguments", [["segment"], ["demo", "absent.jpg"], ["bild"], ["build"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli, arguments).exit_code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    outcome = CliRunner().invoke(cli, [command, "--help"])
    assert outcome.exit_code == 0
    assert "Usage" in outcome.output
