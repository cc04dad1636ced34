"""Repositories to push, one for this CPU and some for GPUs that are not here; keys."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from plan_repositories import write_plan_repository
from real_servers import installation
from residual_network import residual_network, residual_spec
from signing_keys import KeyPair, write_keys
from tritonseg_engines.build.model import build_model

__all__ = ["installation"]


@pytest.fixture(scope="package")
def for_cpu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model called tiny that OpenVINO runs; not to be changed."""
    folder = tmp_path_factory.mktemp("cpu")
    onnx.save(residual_network(), folder / "export.onnx")
    build_model(residual_spec(name="tiny"), folder / "export.onnx", folder / "repository")
    return folder / "repository"


@pytest.fixture(scope="package")
def for_l4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of that name for an NVIDIA L4; not to be changed."""
    return write_plan_repository(tmp_path_factory.mktemp("l4") / "repository")


@pytest.fixture(scope="package")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return write_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="package")
def other_keys(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return write_keys(tmp_path_factory.mktemp("other_keys"))
