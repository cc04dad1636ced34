"""The pages make a site without a broken link or anchor, and with every page in its menu."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def test_the_site_is_built() -> None:
    command = [sys.executable, PROJECT / "scripts" / "docs_site.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    site = PROJECT / "out" / "docs" / "site"
    assert "tritonseg" in (site / "index.html").read_text(encoding="utf-8")
    assert (site / "docs" / "api.html").exists()
