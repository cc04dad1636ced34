"""One real Triton with models that sleep, for all tests that put it under load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from load_test_models import SIZE_HW, write_models
from tritonseg_engines.load_test import LoadTarget
from tritonseg_engines.serving import ServerConfig, TritonServer


@pytest.fixture(scope="session")
def sleepers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = write_models(tmp_path_factory.mktemp("sleepers") / "models")
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        yield server


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "street.png"
    Image.fromarray(np.full((*SIZE_HW, 3), 7, np.uint8)).save(path)
    return path


@pytest.fixture
def target(sleepers: TritonServer, picture: Path) -> Callable[[str], LoadTarget]:
    return lambda model: LoadTarget(url=sleepers.grpc_url, model=model, pictures=(picture,))
