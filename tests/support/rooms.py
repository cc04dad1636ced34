"""The rooms of the project, which may import which, and a command that draws what there is.

    python tests/support/rooms.py

Run from the project's root, it prints every room with its files, lines and arrows. `git stash` or
an older checkout beside it gives the numbers of before.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WHY = (
    "rooms have an order, so that each can be read, tested and changed with only those below it in "
    "mind: move the code to the room that both know, or pass the value in"
)
ENGINES = "tritonseg_engines"
SOURCES = {"client": "tritonseg", "steps": "tritonseg_steps", "build_engines": ENGINES}

BASE = {"errors", "atomic", "checksum", "install_command", "picture_files", "progress"}
ALLOWED = {
    "tritonseg": set(),
    "tritonseg_steps": set(),
    "cli": {
        "agreement", "artefact", "build", "bulk", "checkpoints", "coco_file", "demo", "evaluation",
        "load_test", "perf_input", "preflight", "repository", "server_access", "serving", "spec",
        "spec_yaml", "target", "tritonseg", "tritonseg_steps", "tuning", "verification", "zoo",
        *BASE,
    },
    "tuning": {
        "html_page", "load_test", "perf_input", "repository", "serving", "tritonseg",
        "tritonseg_steps", "zoo", *BASE,
    },
    "agreement": {"evaluation", "html_page", "in_order", "tritonseg", *BASE},
    "bulk": {"coco_file", "in_order", "server_access", "tritonseg", *BASE},
    "demo": {"build", "serving", "tritonseg", "zoo", *BASE},
    "build": {
        "gate", "graph", "precision", "preflight", "repository", "running", "spec", "target",
        "tensorrt", "tritonseg_steps", "verification", "zoo", *BASE,
    },
    "verification": {"rebuild", "repository", "serving", "tritonseg_steps", *BASE},
    "artefact": {
        "repository", "target", "tensorrt", "tritonseg_steps", "verification", *BASE,
    },
    "preflight": {"gate", "graph", "precision", "tensorrt", *BASE},
    "serving": {"repository", "target", "tensorrt", "tritonseg_steps", *BASE},
    "evaluation": {"html_page", "in_order", "running", "spec_yaml", "tritonseg", "zoo", *BASE},
    "gate": {"html_page", "running", "spec", *BASE},
    "precision": {"graph", "running", "tritonseg_steps", *BASE},
    "load_test": {"perf_input", "tritonseg", "tritonseg_steps", *BASE},
    "perf_input": {"tritonseg", "tritonseg_steps", *BASE},
    "running": {"graph", "target", "tritonseg", "tritonseg_steps", *BASE},
    "repository": {
        "rebuild", "spec", "target", "tensorrt", "tritonseg", "tritonseg_steps", *BASE,
    },
    "rebuild": {"tritonseg_steps", "target", "zoo", *BASE},
    "checkpoints": {"zoo", *BASE},
    "zoo": {"graph", "spec", "spec_yaml", "tritonseg_steps", *BASE},
    "tensorrt": {"graph", *BASE},
    "graph": {"spec", "tritonseg_steps", *BASE},
    "spec_yaml": {"spec", "tritonseg_steps", *BASE},
    "spec": {"tritonseg_steps", *BASE},
    "target": {"tritonseg_steps", *BASE},
    "coco_file": {"tritonseg", *BASE},
    "html_page": set(),
    "in_order": set(),
    "server_access": set(),
    "install_command": set(),
    "picture_files": set(),
    "progress": set(),
    "checksum": {"tritonseg_steps"},
    "atomic": {"errors"},
    "errors": set(),
}  # fmt: skip
"""Which room may import which; a room is a package of `tritonseg_engines`, a file beside them, or
one of the other two packages. From the one that starts to those that know nothing."""

CLIENT_ORDER = (
    "__main__", "pytest_plugin", "testing", "_fake_service", "published", "_client", "_aio_client",
    "_tiles", "_channels", "_calls", "_results", "_pictures", "_model", "_settings",
    "_connection", "_environment", "_attempt", "_config", "_extras", "_errors", "_version",
)  # fmt: skip
"""Rooms and files of the client: each may import what comes behind it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrow:
    """One import that leaves its room."""

    source: str
    target: str
    path: Path
    line: int


def room_of(module: str) -> str | None:
    """Return the room of a module by its dotted name, or None where it is not the project's."""
    package, _, rest = module.partition(".")
    if package == ENGINES and rest:
        return rest.partition(".")[0]
    return package if package in SOURCES.values() and package != ENGINES else None


def arrows(project: Path) -> Iterator[Arrow]:
    """Yield every import from one room into another, those inside functions included."""
    for root, package in SOURCES.items():
        for path in sorted((project / root / package).rglob("*.py")):
            parts = path.relative_to(project / root).with_suffix("").parts
            source = room_of(".".join(parts))
            if source is None or parts == (ENGINES, "__init__"):
                continue
            for line, module in _imports(path):
                target = room_of(module)
                if target is not None and target != source:
                    yield Arrow(source=source, target=target, path=path, line=line)


def complaints(project: Path) -> list[str]:
    """Return one line for every import that no room of `ALLOWED` may have."""
    return [
        f"{arrow.path.relative_to(project)}:{arrow.line}: '{arrow.source}' may not import "
        f"'{arrow.target}': {WHY}"
        for arrow in arrows(project)
        if arrow.target not in ALLOWED.get(arrow.source, set())
    ]


def client_complaints(project: Path) -> list[str]:
    """Return one line for every import in the client that goes against `CLIENT_ORDER`."""
    package = project / "client" / "tritonseg"
    found = []
    for path in sorted(package.rglob("*.py")):
        inner = path.relative_to(package)
        source = inner.with_suffix("").parts[0]
        if source == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.level != len(inner.parts):
                continue
            target = (node.module or "__init__").partition(".")[0]
            if CLIENT_ORDER.index(target) <= CLIENT_ORDER.index(source):
                where = f"{path.relative_to(project)}:{node.lineno}"
                found.append(f"{where}: '{source}' may not import '{target}': {WHY}")
    return found


def circles(table: dict[str, set[str]]) -> list[str]:
    """Return the rooms of a table that can reach themselves."""

    def reachable(room: str) -> set[str]:
        seen: set[str] = set()
        pending = list(table[room])
        while pending:
            one = pending.pop()
            if one not in seen:
                seen.add(one)
                pending.extend(table.get(one, ()))
        return seen

    return [room for room in table if room in reachable(room)]


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if node.module == ENGINES:
                yield from ((node.lineno, f"{ENGINES}.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


def main() -> None:
    """Print the rooms."""
    project = Path.cwd()
    targets: dict[str, set[str]] = defaultdict(set)
    for arrow in arrows(project):
        targets[arrow.source].add(arrow.target)
    files: dict[str, list[Path]] = defaultdict(list)
    for root, package in SOURCES.items():
        for path in (project / root / package).rglob("*.py"):
            module = ".".join(path.relative_to(project / root).with_suffix("").parts)
            files[room_of(module) or module].append(path)
    for room in sorted(
        files, key=lambda room: list(ALLOWED).index(room) if room in ALLOWED else 99
    ):
        lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files[room])
        into = ", ".join(sorted(targets[room])) or "nothing"
        sys.stdout.write(f"{room:<16}{len(files[room]):>3} files {lines:>5} lines  → {into}\n")
    total = sum(map(len, targets.values()))
    sys.stdout.write(f"{len(files)} rooms, {total} arrows\n")


if __name__ == "__main__":
    main()
