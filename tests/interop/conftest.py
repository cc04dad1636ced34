"""The demo model in every layout on one server, and the folder of tools that are not ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop import Served, build_layouts, interop_config, served
from tritonseg_engines.serving import TritonServer
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec


@pytest.fixture(scope="session")
def tools() -> Path:
    folder = os.environ.get("TRITONSEG_INTEROP")
    if folder is None:
        pytest.skip("needs tools that take downloads and minutes: make interop-check")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def demo_layouts(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("layouts") / "model_repository"
    build_layouts(demo_spec(), DEMO_ONNX, repository)
    return repository


@pytest.fixture(scope="session")
def street(demo_layouts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with TritonServer(interop_config(demo_layouts)) as server:
        yield served(server, demo_spec(), DEMO_ONNX, tmp_path_factory.mktemp("street"))
