"""One real Triton with the demo model, for all tests that only ask it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec


@pytest.fixture(scope="session")
def demo_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("demo") / "model_repository"
    build_model(demo_spec(), DEMO_ONNX, repository, layout="ensemble")
    return repository


@pytest.fixture(scope="session")
def demo_server(demo_repository: Path) -> Iterator[TritonServer]:
    with TritonServer(ServerConfig(repositories=(demo_repository,))) as server:
        yield server


@pytest.fixture
def client(demo_server: TritonServer) -> Iterator[SegmentationClient]:
    with SegmentationClient(demo_server.grpc_url, model="street-demo") as client:
        yield client
