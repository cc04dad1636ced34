"""The same tiny models and looks as the launcher's own tests; tools that are not ours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from real_servers import infer, installation, is_gone, repository, shm_regions, write_model

__all__ = ["infer", "installation", "is_gone", "repository", "shm_regions", "write_model"]


@pytest.fixture(scope="session")
def deploy_tools() -> Path:
    """The folder that `scripts/deploy_tools.sh` filled; its libraries can be imported."""
    folder = os.environ.get("TRITONSEG_DEPLOY")
    if folder is None:
        pytest.skip("needs Prometheus, Helm and schemas, 400 MB of downloads: make deploy-check")
    path = Path(folder).resolve()
    sys.path.append(str(path / "python"))
    return path
