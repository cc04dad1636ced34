"""Built repositories to change, forge and serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from real_servers import installation, shm_regions
from repository_mutations import build_repository

__all__ = ["good", "installation", "shm_regions", "spare"]


@pytest.fixture(scope="package")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a model of every layout; not to be changed."""
    return build_repository(tmp_path_factory.mktemp("fp32"))


@pytest.fixture(scope="package")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same models in another precision."""
    return build_repository(tmp_path_factory.mktemp("fp16"), "fp16")
