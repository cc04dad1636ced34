"""A version is rolled out and back while callers ask: nobody is failed, no answer is a mixture.

Half of the callers are bare requests, which nothing repeats.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from own_mask import own_mask
from tiny_models import SIZE_HW, TinyModel, tiny_spec
from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer

IMAGE = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), np.uint8)
CALLERS = 4
TURNS = 10
LEAST_BETWEEN = 20
"""Answers between two changes, so that each meets a server at work."""


def export(folder: Path, turn: int) -> Path:
    """Write a network whose classes are turned."""
    model = TinyModel().model()
    (weight,) = (one for one in model.graph.initializer if one.name == "weight")
    turned = np.roll(numpy_helper.to_array(weight), turn, axis=0)
    weight.CopyFrom(numpy_helper.from_array(turned, "weight"))
    path = folder / f"export-{turn}.onnx"
    onnx.save(model, path)
    return path


@dataclass(frozen=True, slots=True)
class Answer:
    version: str
    class_map: np.ndarray
    asked_s: float = 0.0


def bare_answer(client: InferenceServerClient) -> Answer:
    picture = InferInput("IMAGE", [1, *IMAGE.shape], "UINT8")
    picture.set_data_from_numpy(IMAGE[None])
    result = client.infer("tiny", [picture], outputs=[InferRequestedOutput("CLASS_MAP")])
    return Answer(result.get_response().model_version, result.as_numpy("CLASS_MAP")[0])


def answer(client: SegmentationClient) -> Answer:
    result = client.segment(IMAGE)
    return Answer(result.model_version, result.class_map)


@contextmanager
def asked_all_along(url: str) -> Iterator[list[Answer | BaseException]]:
    """Ask side by side; yield what came of each."""
    answers: list[Answer | BaseException] = []
    ends = threading.Event()

    def ask(call: Callable[[], Answer]) -> None:
        while not ends.is_set():
            asked_s = time.monotonic()
            try:
                answers.append(replace(call(), asked_s=asked_s))
            except Exception as error:  # noqa: BLE001 - looked at by the test
                answers.append(error)

    with InferenceServerClient(url) as bare, SegmentationClient(url, model="tiny") as client:
        calls = [lambda: bare_answer(bare), lambda: answer(client)] * (CALLERS // 2)
        threads = [threading.Thread(target=ask, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        try:
            yield answers
        finally:
            ends.set()
            for thread in threads:
                thread.join()


def wait_for(answers: list[Answer | BaseException], more: int) -> None:
    enough, paused = len(answers) + more, threading.Event()
    for _ in range(600):
        if len(answers) >= enough:
            return
        paused.wait(0.05)
    raise AssertionError("the server has stopped to answer")


def seen(answers: list[Answer | BaseException]) -> list[Answer]:
    """Return the answers; nobody may have been failed."""
    assert [one for one in answers if isinstance(one, BaseException)] == []
    return [one for one in answers if isinstance(one, Answer)]


def serve_only(repository: Path, *versions: int) -> None:
    path = repository / "tiny" / "config.pbtxt"
    config = read_config(path)
    config.version_policy.specific.versions[:] = versions
    path.write_text(str(config))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    repository = tmp_path / "repository"
    build_model(tiny_spec(), export(tmp_path, 0), repository, layout="single")
    return repository


def built_beside(repository: Path, tmp_path: Path) -> None:
    build_model(
        tiny_spec(), export(tmp_path, 1), repository, layout="single",
        options=BuildOptions(version="2"),
    )  # fmt: skip


def config_of(repository: Path) -> ServerConfig:
    return ServerConfig(repositories=(repository,), allowed_apis=("model-repository",))


def test_forward_and_back_ten_times(repository: Path, tmp_path: Path) -> None:
    expected = {
        version: own_mask(export(tmp_path, turn), tiny_spec(), IMAGE)
        for version, turn in (("1", 0), ("2", 1))
    }
    with TritonServer(config_of(repository)) as server:
        control = InferenceServerClient(server.grpc_url)
        with asked_all_along(server.grpc_url) as answers:
            built_beside(repository, tmp_path)
            wait_for(answers, LEAST_BETWEEN)
            assert {one.version for one in seen(answers)} == {"1"}
            for turn in range(TURNS):
                serve_only(repository, *((1, 2), (1,))[turn % 2])
                control.load_model("tiny")
                changed_s = time.monotonic()
                wait_for(answers, LEAST_BETWEEN + CALLERS)
                late = {one.version for one in seen(answers) if one.asked_s > changed_s}
                assert late == {"21"[turn % 2]}
        control.close()
    for one in seen(answers):
        class_map, is_stable = expected[one.version]
        assert np.array_equal(one.class_map[is_stable], class_map[is_stable])


@pytest.mark.parametrize("damage", ["truncated", "gone", "another's"])
def test_a_bad_version_takes_the_place_of_none(
    damage: str, repository: Path, tmp_path: Path
) -> None:
    expected, is_stable = own_mask(export(tmp_path, 0), tiny_spec(), IMAGE)
    with TritonServer(config_of(repository)) as server:
        control = InferenceServerClient(server.grpc_url)
        with asked_all_along(server.grpc_url) as answers:
            built_beside(repository, tmp_path)
            (engine,) = (repository / "tiny" / "2").glob("*.onnx")
            if damage == "truncated":
                engine.write_bytes(engine.read_bytes()[:-100])
            elif damage == "gone":
                engine.unlink()
            else:
                (first,) = (repository / "tiny" / "1").glob("*.onnx")
                shutil.copy(first, engine)
            with pytest.raises(InferenceServerException, match="tiny"):
                control.load_model("tiny")
            wait_for(answers, 5 * LEAST_BETWEEN)
        control.close()
    for one in seen(answers):
        assert one.version == "1"
        assert np.array_equal(one.class_map[is_stable], expected[is_stable])
