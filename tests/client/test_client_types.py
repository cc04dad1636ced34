"""What a caller's type checker sees of the client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tritonseg

PYRIGHT = Path(sys.executable).with_name("pyright")


@pytest.mark.skipif(not PYRIGHT.is_file(), reason="needs pyright, of the dependency group test")
def test_every_public_name_has_a_known_type(tmp_path: Path) -> None:
    """Installed as callers have it, because pyright asks no more of what is being written."""
    shutil.copytree(Path(tritonseg.__file__).parent, tmp_path / "site" / "tritonseg")
    (tmp_path / "elsewhere").mkdir()
    options = ("--pythonpath", sys.executable, "--ignoreexternal", "--outputjson")
    done = subprocess.run(
        [PYRIGHT, *options, "--verifytypes", "tritonseg"],
        cwd=tmp_path / "elsewhere",
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    completeness = json.loads(done.stdout)["typeCompleteness"]
    counts = completeness["exportedSymbolCounts"]
    assert counts["withKnownType"] >= len(tritonseg.__all__) - 1  # __version__ is no symbol of its
    assert completeness["completenessScore"] == 1, counts
