"""Many callers at once: their own masks, an answer for each, and none for nobody."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from demo_model.scenes import draw_scene
from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.target import ServingLayout
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec
from tritonseg_steps.contract import QUEUE_PARAMETER

pytestmark = pytest.mark.e2e

SIZES_HW = [(96, 160), (60, 200), (128, 64), (33, 75), (256, 512), (90, 120), (200, 150), (64, 64)]
CALLERS = 16
ANSWERED_S = 60.0
FIRST = {ServingLayout.SINGLE: "street-demo", ServingLayout.ENSEMBLE: "street-demo_normalize"}


@pytest.fixture(scope="module", params=[(layout, of) for layout in FIRST for of in (0, CALLERS)])
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without a limit, and with one of a count alone, which no machine's speed has part in."""
    layout, waiting = request.param
    path = Path(tmp_path_factory.mktemp("waiting") / layout / "model_repository")
    build_model(demo_spec(), DEMO_ONNX, path, layout=layout)
    limit(path, waiting)
    return path


def is_limited(repository: Path) -> bool:
    return QUEUE_PARAMETER in (repository / first_of(repository) / "config.pbtxt").read_text()


def limit(repository: Path, waiting: int) -> None:
    path = repository / first_of(repository) / "config.pbtxt"
    config = read_config(path)
    del config.parameters[QUEUE_PARAMETER]
    if waiting:
        config.parameters[QUEUE_PARAMETER].string_value = str(waiting)
    path.write_text(str(config))


def first_of(repository: Path) -> str:
    return FIRST[ServingLayout(repository.parent.name)]


@pytest.fixture(scope="module")
def pictures() -> list[NDArray[np.uint8]]:
    return [
        draw_scene(number, height=SIZES_HW[number % 8][0], width=SIZES_HW[number % 8][1]).image_hwc
        for number in range(24)
    ]


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[TritonServer]:
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        yield server


@pytest.fixture
def client(server: TritonServer) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(server.grpc_url)
    yield client
    client.close()


@pytest.fixture(scope="module")
def large_hwc() -> NDArray[np.uint8]:
    return draw_scene(0, height=2048, width=4096).image_hwc


def image(image_hwc: NDArray[np.uint8]) -> triton.InferInput:
    picture = triton.InferInput("IMAGE", [1, *image_hwc.shape], "UINT8")
    picture.set_data_from_numpy(image_hwc[None])
    return picture


def infer(client: triton.InferenceServerClient, image_hwc: NDArray[np.uint8]) -> str:
    try:
        client.infer("street-demo", [image(image_hwc)], client_timeout=ANSWERED_S)
    except InferenceServerException as error:
        return f"{error.status()}: {error.message()}"
    return "answered"


def test_nothing_of_a_cpu_model_is_left_to_tritons_batcher(repository: Path) -> None:
    for path in repository.glob("*/config.pbtxt"):
        assert "dynamic_batching" not in path.read_text(), path.parent.name


def test_pictures_of_many_sizes_at_once_get_their_own_masks(server, pictures) -> None:
    with (
        SegmentationClient(server.grpc_url, model="street-demo") as client,
        ThreadPoolExecutor(CALLERS) as threads,
    ):
        alone = [client.segment(image_hwc).class_map for image_hwc in pictures]
        for _ in range(3):
            together = [answer.class_map for answer in threads.map(client.segment, pictures)]
            for one, other in zip(alone, together, strict=True):
                np.testing.assert_array_equal(one, other)
    assert sum(len(np.unique(class_map)) > 3 for class_map in alone) > 12


def test_whom_there_is_no_place_for_is_told_so(repository: Path, pictures) -> None:
    """By a server of its own: after a refusal the line is short for a while."""
    callers = 3 * CALLERS
    with (
        TritonServer(ServerConfig(repositories=(repository,))) as server,
        triton.InferenceServerClient(server.grpc_url) as client,
        ThreadPoolExecutor(callers) as threads,
    ):
        answers = Counter(threads.map(lambda _: infer(client, pictures[4]), range(callers)))
        assert answers["answered"] >= CALLERS
        refusals = answers.keys() - {"answered"}
        assert len(refusals) == is_limited(repository)
        for refusal in refusals:
            assert refusal.startswith("StatusCode.UNAVAILABLE")
            assert "as many requests wait as may wait" in refusal
        assert infer(client, pictures[0]) == "answered"


def test_one_who_leaves_is_no_trouble_to_those_who_wait(client, large_hwc) -> None:
    ended = threading.Event()
    with ThreadPoolExecutor(CALLERS // 2) as threads:
        busy = [threads.submit(infer, client, large_hwc) for _ in range(CALLERS // 2)]
        time.sleep(0.2)
        call = client.async_infer("street-demo", [image(large_hwc)], lambda **_: ended.set())
        time.sleep(0.2)
        call.cancel()
        assert ended.wait(5)
        assert {one.result() for one in busy} == {"answered"}
    assert infer(client, large_hwc) == "answered"


def test_callers_of_a_model_whose_process_dies_are_answered(repository: Path, large_hwc) -> None:
    """They would wait for ever; the server ends instead, and their connections with it."""
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        client = triton.InferenceServerClient(server.grpc_url)
        with ThreadPoolExecutor(5) as threads:
            calls = [threads.submit(infer, client, large_hwc) for _ in range(5)]
            time.sleep(0.1)
            for stub in psutil.Process(server.pid).children(recursive=True):
                stub.kill()
            killed_s = time.monotonic()
            answers = [call.result() for call in calls]
        assert time.monotonic() - killed_s < ANSWERED_S / 2
        assert any("answered" not in answer for answer in answers)
        client.close()
