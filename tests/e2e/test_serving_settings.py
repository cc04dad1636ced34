"""What the configs say about warm-up and queues, on a real Triton."""

from __future__ import annotations

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from demo_model.scenes import draw_scene
from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.repository.check import check_repository
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.tensorrt import Machine
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec

AT_ONCE = 40
ANSWERED_S = 60.0


@pytest.fixture
def repository(demo_repository: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_repository, tmp_path / "model_repository"))


def test_steps_are_run_before_the_server_is_ready(repository: Path) -> None:
    """With a picture of no size in its warm-up, argmax fails, and so does the start."""
    (repository / "street-demo_argmax" / "warmup" / "image_size").write_bytes(bytes(8))
    with (
        pytest.raises(ServerStartError, match="street-demo_argmax"),
        TritonServer(ServerConfig(repository=repository)),
    ):
        pass


def test_overload_is_refused_and_passes(repository: Path) -> None:
    """Every request gets an answer, some of them that the queue is full; then all is well."""
    path = repository / "street-demo_engine" / "config.pbtxt"
    config = read_config(path)
    config.dynamic_batching.default_queue_policy.max_queue_size = 2
    path.write_text(str(config))
    with TritonServer(ServerConfig(repository=repository)) as server:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            urls = [server.grpc_url] * AT_ONCE
            answers = Counter(threads.map(ask, urls))
        assert set(answers) == {"answered", "StatusCode.UNAVAILABLE"}
        assert ask(server.grpc_url) == "answered"


def test_instances_share_what_cores_there_are(tmp_path: Path) -> None:
    """Each takes its share of the threads, and they answer as one does."""
    build_model(demo_spec(), DEMO_ONNX, tmp_path / "repository")
    path = tmp_path / "repository" / "street-demo" / "config.pbtxt"
    config = read_config(path)
    config.instance_group[0].count = 2
    path.write_text(str(config))
    image_hwc = draw_scene(3, height=96, width=160).image_hwc
    with (
        TritonServer(ServerConfig(repository=tmp_path / "repository")) as server,
        SegmentationClient(server.grpc_url, model="street-demo") as client,
        ThreadPoolExecutor(4) as threads,
    ):
        maps = [answer.class_map for answer in threads.map(client.segment, [image_hwc] * 8)]
    assert all(np.array_equal(class_map, maps[0]) for class_map in maps)
    assert len(np.unique(maps[0])) > 3


def test_a_built_repository_is_as_built(demo_repository: Path) -> None:
    assert check_repository(demo_repository, Machine()) == {"street-demo": []}


def ask(url: str) -> str:
    image = triton.InferInput("IMAGE", [1, 64, 64, 3], "UINT8")
    image.set_data_from_numpy(np.zeros((1, 64, 64, 3), np.uint8))
    with triton.InferenceServerClient(url) as client:
        try:
            client.infer("street-demo", [image], client_timeout=ANSWERED_S)
        except InferenceServerException as error:
            return str(error.status())
    return "answered"
