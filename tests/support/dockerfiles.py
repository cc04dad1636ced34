"""Dockerfiles as lists of instructions: tests run the very lines that images are built by."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

DOCKER = Path(__file__).parents[2] / "docker"


@dataclass(slots=True)
class Stage:
    """What stands between one FROM and the next."""

    image: str
    name: str | None
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def of(self, keyword: str) -> list[str]:
        return [text for word, text in self.instructions if word == keyword]

    def command(self, keyword: str) -> list[str]:
        """Return ENTRYPOINT or CMD in its exec form; empty where there is none."""
        found = self.of(keyword)
        words: list[str] = json.loads(found[-1]) if found else []
        return words

    def environment(self) -> dict[str, str]:
        pairs = (word.partition("=") for text in self.of("ENV") for word in shlex.split(text))
        return {name: value for name, _, value in pairs}


def stages(name: str) -> list[Stage]:
    """Read `docker/<name>`; comments go, continued lines become one."""
    lines = (DOCKER / name).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "FROM":
            image, _, stage = rest.partition(" AS ")
            found.append(Stage(image, stage or None))
        elif keyword and found:
            found[-1].instructions.append((keyword, rest))
    return found


def context_files(files: list[Path], project: Path) -> list[Path]:
    """Return those of a checkout's files that `.dockerignore` lets into the build context.

    It must be of the form "nothing, but": a `*`, then lines with `!`, then what is never wanted.
    """
    lines = (project / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert [rule for rule in rules[1:] if not rule.startswith("!")] == ["**/__pycache__"]
    allowed = [rule[1:] for rule in rules[1:] if rule.startswith("!")]

    def is_allowed(path: Path) -> bool:
        relative = path.relative_to(project)
        names = [one.as_posix() for one in (relative, *relative.parents)]
        return any(fnmatch.fnmatchcase(name, rule) for rule in allowed for name in names)

    return [path for path in files if is_allowed(path) and "__pycache__" not in path.parts]
