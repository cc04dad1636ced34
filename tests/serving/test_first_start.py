"""A build leaves in Numba's cache all that the first start of what it built takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.target import ServingLayout


def written(cache: Path) -> dict[str, int]:
    """When every file of the cache was written last, in ns; Numba writes an index again."""
    files = [file for file in cache.rglob("*") if file.is_file()]
    return {str(file.relative_to(cache)): file.stat().st_mtime_ns for file in files}


@pytest.mark.usefixtures("installation")
def test_the_first_start_after_a_build_compiles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache))
    for layout in (ServingLayout.SINGLE, ServingLayout.ENSEMBLE):
        repository = tmp_path / layout
        command = [sys.executable, "-m", "tritonseg", "build", "street-demo", "--layout", layout]
        command += ["--runtime", "openvino", "--repository", str(repository)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ)
        before = written(cache)
        assert any(name.endswith(".nbc") for name in before)
        with TritonServer(ServerConfig(repositories=(repository,))):
            assert written(cache) == before
