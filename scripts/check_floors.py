"""Whether the lowest releases that pyproject.toml allows can be had on every Python it names.

    python scripts/check_floors.py [--extras]

A release without a wheel for some Python is built from source there, with compilers that nobody has
tried, or not at all. Asks the package index through uv and installs nothing. Ends with 1 and a line
for every floor that has no wheel, and with --extras for every extra that does not resolve.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
PLATFORM = "x86_64-manylinux_2_35"
"""The oldest for which Triton has a wheel."""
REFUSED = {("serve", "3.13")}
"""On purpose; see there."""
UV = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"


def main() -> None:
    """Print what is wrong, and what was looked at."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--extras", action="store_true", help="resolve every extra, too; minutes")
    document = tomllib.loads(PROJECT.read_text(encoding="utf-8"))
    pythons = [
        found[1]
        for line in document["project"]["classifiers"]
        if (found := re.search(r"Python :: (3\.\d+)$", line))
    ]
    problems = [line for python in pythons for line in without_wheel(document, python)]
    if parser.parse_args().extras:
        pairs = product(document["project"]["optional-dependencies"], pythons)
        problems += [line for pair in pairs if pair not in REFUSED for line in unresolved(*pair)]
    said = f"looked at Python {', '.join(pythons)}: {len(problems)} problems"
    print(*problems, said, sep="\n")  # noqa: T201
    raise SystemExit(bool(problems))


def without_wheel(document: dict[str, Any], python: str) -> list[str]:
    """Return a line for every floor of which this Python has no wheel."""
    floors = lowest_allowed(document, python)
    asked = "\n".join(f"{name}>={floor}" for name, floor in floors.items())
    answer = compile_requirements(python, "-", "--no-deps", "--resolution=lowest", text=asked)
    if answer.returncode:
        return [f"Python {python}: {answer.stderr.strip()}"]
    found = {name: Version(text) for name, text in map(_halves, answer.stdout.split())}
    return [
        f"Python {python}: {name} {floor} has no wheel; the first is {found[name]}"
        for name, floor in floors.items()
        if found[name] != floor
    ]


def _halves(line: str) -> tuple[str, str]:
    name, _, version = line.partition("==")
    return name, version


def unresolved(extra: str, python: str) -> list[str]:
    """Return a line where the lowest releases of an extra do not go together, as wheels."""
    options = (f"--extra={extra}", "--resolution=lowest-direct")
    answer = compile_requirements(python, str(PROJECT), *options)
    if not answer.returncode:
        return []
    return [f"Python {python}: [{extra}] does not resolve: {answer.stderr.strip()}"]


def lowest_allowed(document: dict[str, Any], python: str) -> dict[str, Version]:
    """Return the floor of every package that anything of the project asks for, by its name.

    Args:
        document: pyproject.toml.
        python: As "3.12"; decides on markers.
    """
    project = document["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    lists += document["dependency-groups"].values()
    environment = {"python_version": python, "sys_platform": "linux"}
    floors: dict[str, Version] = {}
    for requirement in (Requirement(text) for one in lists for text in one):
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        for specifier in requirement.specifier:
            if specifier.operator == ">=":
                floor = Version(specifier.version)
                name = canonicalize_name(requirement.name)
                floors[name] = max(floors.get(name, floor), floor)
    return floors


def compile_requirements(
    python: str, source: str, *options: str, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Let uv resolve for another Python than this one, from wheels alone."""
    command = [UV, "pip", "compile", source, *options, "--only-binary=:all:"]
    command += [f"--python-version={python}", f"--python-platform={PLATFORM}"]
    command += ["--quiet", "--no-header", "--no-annotate", "--system-certs"]
    return subprocess.run(  # noqa: S603 - our own words
        command, input=text, capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    main()
