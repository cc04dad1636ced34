"""Finding perf_analyzer: programs and packages of its name that are something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonseg_engines.errors import LoadTestError
from tritonseg_engines.load_test import find_load_tester
from tritonseg_engines.load_test.perf_program import VARIABLE, find_perf_analyzer

NVIDIAS = 'echo "Perf Analyzer Version 0.0.0 (commit 3a49a23)"'
OLD_SYSTEM = (
    "echo \"perf_analyzer: /lib/libc.so.6: version \\`GLIBC_2.38' not found "
    '(required by perf_analyzer)" >&2; exit 1'
)


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def program(folder: Path, line: str, name: str = "perf_analyzer") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("way", ["argument", "variable", "path"])
def test_nvidias_is_found(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path / "bin", NVIDIAS)
    if way == "variable":
        monkeypatch.setenv(VARIABLE, str(path))
    if way == "path":
        monkeypatch.setenv("PATH", str(path.parent))
    assert find_perf_analyzer(path if way == "argument" else None) == path
    tester, remark = find_load_tester(executable=path if way == "argument" else None)
    assert (tester.name, remark) == ("perf_analyzer", None)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (OLD_SYSTEM, "needs a newer system than this one"),
        ("echo other tool 2.60", "is not NVIDIA's perf_analyzer.*'other tool 2.60'"),
        ("exit 1", "says 'nothing'"),
        (f"{NVIDIAS}; exit 3", "is not NVIDIA's perf_analyzer, or does not run"),
    ],
)
def test_what_does_not_run(line: str, words: str, tmp_path: Path) -> None:
    path = program(tmp_path / "bin", line)
    with pytest.raises(LoadTestError, match=words) as refused:
        find_load_tester("perf_analyzer", executable=path)
    assert "\n" not in str(refused.value)
    tester, remark = find_load_tester(executable=path)
    assert tester.name == "built-in"
    assert remark == f"measured by the built-in loader: {refused.value}"


def test_none_at_all() -> None:
    with pytest.raises(LoadTestError, match="there is no perf_analyzer on the PATH"):
        find_load_tester("perf_analyzer")
    with pytest.raises(LoadTestError, match="there is no perf_analyzer at /nowhere/perf"):
        find_load_tester("perf_analyzer", executable=Path("/nowhere/perf"))


def test_the_package_of_its_name_that_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pip leaves of perf-analyzer 0.1.0: metadata, and no program."""
    left = tmp_path / "site" / "perf_analyzer-0.1.0.dist-info"
    left.mkdir(parents=True)
    (left / "METADATA").write_text("Metadata-Version: 2.1\nName: perf_analyzer\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(str(left.parent))
    with pytest.raises(LoadTestError, match=r"the package perf-analyzer 0.1.0 .* not NVIDIA's"):
        find_load_tester("perf_analyzer")


def test_the_built_in_loader_is_asked_for() -> None:
    tester, remark = find_load_tester("built-in")
    assert (tester.name, remark) == ("built-in", None)
