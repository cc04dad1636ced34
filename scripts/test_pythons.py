"""The client's tests on the base install, on every Python that is here.

    python scripts/test_pythons.py FOLDER [3.10 3.11 ...]

For each version that pyproject.toml names, and the next, an environment in FOLDER gets the package
without extras; its size and the time of `import tritonseg` are measured, then what the tests need
is added and they run. Pythons are looked for on PATH and among pyenv's. Ends with 1 if tests
failed, and says which Pythons were not to be had.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[1]
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
NEEDED_BY_TESTS = (
    "pytest", "pytest-randomly", "hypothesis", "psutil", "pycocotools", "gunicorn", "griffelib",
    "opencv-python-headless",
)  # fmt: skip
IMPORT = "import time, {0}; t = time.perf_counter(); import {1}; print(time.perf_counter() - t)"
IMPORTS = 7
TIMEOUT_S = 1200


def main() -> None:
    """Print a line for each Python."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("versions", nargs="*", default=VERSIONS)
    arguments = parser.parse_args()
    outcomes = []
    for version in arguments.versions:
        python = find_python(version)
        if python is None:
            _say(f"{version}: not here")
            continue
        outcomes.append(tested(python, arguments.folder.resolve() / version))
    raise SystemExit(not outcomes or not all(outcomes))


def find_python(version: str) -> str | None:
    """Return an interpreter of a version, or None."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    ours = [str(path) for path in sorted(root.glob(f"{version}.*/bin/python"), reverse=True)]
    for candidate in (shutil.which(f"python{version}"), *ours):
        if candidate is not None and _runs(candidate):
            return candidate
    return None


def tested(python: str, folder: Path) -> bool:
    """Install, measure, test; return whether all tests passed."""
    name = _output(python, "-V").strip()
    inside = str(folder / "bin" / "python")
    try:
        _output(python, "-m", "venv", "--clear", str(folder))
        before = _size_mib(folder)
        _output(inside, "-m", "pip", "install", "-q", "--disable-pip-version-check", str(PROJECT))
    except subprocess.CalledProcessError as error:
        _say(f"{name}: no base install: {error.stderr.strip().splitlines()[-1]}")
        return False
    size_mib = _size_mib(folder) - before
    import_ms, beyond_ms = _import_ms(inside, "sys"), _import_ms(inside, "numpy, grpc")
    _output(inside, "-m", "pip", "install", "-q", "--disable-pip-version-check", *NEEDED_BY_TESTS)
    tests = subprocess.run(  # noqa: S603 - our own words
        [inside, "-m", "pytest", "-q", "tests/client"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    last = tests.stdout.strip().splitlines()[-1]
    _say(
        f"{name}: base install {size_mib:.0f} MiB, import {import_ms:.0f} ms "
        f"({beyond_ms:.0f} beyond numpy and grpc); {last}"
    )
    if tests.returncode:
        _say("\n".join(re.findall(r"^(?:FAILED|ERROR).*", tests.stdout, re.M)))
    return tests.returncode == 0


def _import_ms(python: str, before: str) -> float:
    """Return the median time of `import tritonseg` in new processes, once its files were read."""
    line = IMPORT.format(before, "tritonseg")
    times_s = [float(_output(python, "-c", line)) for _ in range(IMPORTS + 1)][1:]
    return 1000 * statistics.median(times_s)


def _size_mib(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


def _runs(python: str) -> bool:
    command = [python, "-c", ""]
    return not subprocess.run(command, capture_output=True, check=False).returncode  # noqa: S603


def _output(*command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(  # noqa: S603 - our own words
        command, capture_output=True, text=True, check=True, env=environment, cwd="/"
    )
    return done.stdout


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
