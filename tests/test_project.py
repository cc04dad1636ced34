"""What holds for the project as a whole."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import tritonseg
from tritonseg import _metadata, _protocol
from tritonseg_steps import contract

PROJECT = Path(__file__).parent.parent
MAX_LINES = 400


def tracked_files(pattern: str) -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", pattern], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [PROJECT / line for line in done.stdout.splitlines()]


def test_the_changelog_begins_with_the_version() -> None:
    versions = re.findall(r"^## (\S+)", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == tritonseg.__version__


def test_the_client_spells_the_contract_as_the_server_does() -> None:
    assert _protocol.IMAGE == contract.IMAGE
    assert _protocol.CLASS_MAP == contract.CLASS_MAP
    assert _metadata.CONTRACT_VERSION == contract.CONTRACT_VERSION
    assert _metadata.CONTRACT_PARAMETER == contract.CONTRACT_PARAMETER
    assert _metadata.MODEL_PARAMETER == contract.MODEL_PARAMETER
    assert _metadata.PROVENANCE_PARAMETER == contract.PROVENANCE_PARAMETER
    assert _metadata.MAX_CLASSES == contract.MAX_CLASSES


def test_arrows_point_one_way() -> None:
    """The client imports neither of the others, the steps import nothing of the two."""
    forbidden = {
        "client/tritonseg/*.py": r"^\s*(?:from|import) tritonseg_(?:steps|engines)",
        "steps/tritonseg_steps/**/*.py": r"^\s*(?:from|import) tritonseg(?:_engines)?\b(?!_steps)",
    }
    for pattern, imports in forbidden.items():
        for path in PROJECT.glob(pattern):
            assert not re.search(imports, path.read_text(), re.MULTILINE), path


def test_files_stay_short() -> None:
    for path in tracked_files("*.py"):
        assert len(path.read_text().splitlines()) <= MAX_LINES, path


def test_no_source_file_is_kept_out_of_git() -> None:
    """A pattern meant for build outputs once hid a package: it worked here and in no clone."""
    roots = ["client", "steps", "build_engines", "tests", "scripts"]
    command = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--", *roots]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    assert [line for line in done.stdout.splitlines() if line.endswith(".py")] == []


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in tracked_files("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_nothing_names_this_machine() -> None:
    paths = re.compile(r"(?<![\w./])/(?:work|root|farm)/|/tmp/bash_jobs")
    for path in tracked_files("*"):
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".json", ".pbtxt", ""}:
            assert path.name == "test_project.py" or not paths.search(path.read_text()), path
