"""What holds for the project as a whole."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import tritonseg
from rooms import ALLOWED, WHY, circles, client_complaints, complaints
from tritonseg._calls import protocol as _protocol
from tritonseg._model import metadata as _metadata
from tritonseg_steps import contract

PROJECT = Path(__file__).parent.parent
MAX_LINES = 400
PACKAGES = {
    "client": "client/tritonseg",
    "steps": "steps/tritonseg_steps",
    "engines": "build_engines/tritonseg_engines",
}


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
    """Whatever both have a name for; a name that the client adds must be one of these."""
    spelt = {
        name: value
        for module in (_protocol, _metadata)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, (str, int)) and hasattr(contract, name)
    }
    assert spelt == {name: getattr(contract, name) for name in spelt}
    assert set(spelt) == {
        "CLASS_MAP", "CONFIDENCE", "CONFIDENCE_REQUEST", "CONTRACT_PARAMETER",
        "CONTRACT_VERSION", "DIGEST_BYTES", "DIGEST_PARAMETER", "ENCODED_IMAGE", "IMAGE",
        "MAX_CLASSES", "MODEL_DIGEST", "MODEL_PARAMETER", "NO_CLASS", "PROVENANCE_PARAMETER",
        "VERSION_MARK",
    }  # fmt: skip


def test_every_import_is_one_that_its_room_may_have() -> None:
    assert complaints(PROJECT) == []
    assert client_complaints(PROJECT) == []


def test_the_rooms_have_an_order() -> None:
    assert circles(ALLOWED) == []


@pytest.mark.parametrize(
    ("file", "statement", "source", "target"),
    [
        ("engines/gate/new.py", "from tritonseg_engines.build import model", "gate", "build"),
        ("engines/graph/new.py", "def f():\n    import tritonseg_engines.zoo", "graph", "zoo"),
        ("engines/spec.py", "from tritonseg_engines import cli", "spec", "cli"),
        ("engines/new/room.py", "import tritonseg", "new", "tritonseg"),
        ("steps/new.py", "import tritonseg", "tritonseg_steps", "tritonseg"),
        ("client/new.py", "from tritonseg_steps import step", "tritonseg", "tritonseg_steps"),
    ],
)
def test_a_planted_import_is_found(
    file: str, statement: str, source: str, target: str, tmp_path: Path
) -> None:
    short, _, rest = file.partition("/")
    file = f"{PACKAGES[short]}/{rest}"
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(f"import numpy\n{statement}\n")
    line = 2 + statement.count("\n")
    expected = f"{file}:{line}: '{source}' may not import '{target}': {WHY}"
    assert complaints(tmp_path) == [expected]


def test_the_clients_rooms_have_one_as_well(tmp_path: Path) -> None:
    folder = tmp_path / "client" / "tritonseg" / "_results"
    folder.mkdir(parents=True)
    (folder / "shapes.py").write_text("from .._tiles import sizes\nfrom .._errors import E\n")
    assert client_complaints(tmp_path) == [
        f"client/tritonseg/_results/shapes.py:1: '_results' may not import '_tiles': {WHY}"
    ]


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
