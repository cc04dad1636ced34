"""KServe's Python clients and a Node client, by docs/interop.md, against every layout."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from interop import LAYOUTS, Served, fences, run_bash, run_python


@pytest.mark.parametrize("heading", ["KServe", "REST"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_kserve(street: Served, tools: Path, layout: str, heading: str) -> None:
    (script,) = fences(heading, "python")
    python = str(tools / "kserve" / "bin" / "python")
    street.check(run_python(street.written(script, layout), street.folder, python=python))


@pytest.fixture
def node(street: Served, tools: Path) -> dict[str, str]:
    if shutil.which("node") is None or not (tools / "node_modules").is_dir():
        pytest.skip("needs node and npm: https://nodejs.org")
    (protocol,) = fences("Node", "python")
    run_python(f"{protocol}class_map = []", street.folder)
    return {"NODE_PATH": str(tools / "node_modules")}


@pytest.mark.parametrize("layout", ["ensemble", "single"])
def test_node(street: Served, node: dict[str, str], layout: str) -> None:
    (script,) = fences("Node", "javascript")
    (street.folder / "segment.js").write_text(street.written(script, layout))
    printed = run_bash("node segment.js", street.folder, node)
    assert printed.split() == ["1", *map(str, street.expected_hw.shape)]
    street.check_file()
