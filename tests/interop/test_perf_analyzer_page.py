"""The lines of docs/perf_analyzer.md, against every layout."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from interop import LAYOUTS, PAGE, Served, fences, run_bash

PERF_PAGE = PAGE.with_name("perf_analyzer.md")
CLOSED = "Closed loop: what a server can do at most"
OPEN = "Open loop: what happens when pictures come by chance"
PIXELS, FILES = (block.strip() for block in fences("Pictures", "bash", PERF_PAGE))
LINES = {
    name: [block.strip() for block in fences(heading, "bash", PERF_PAGE)]
    for name, heading in (("closed", CLOSED), ("open", OPEN))
}
# The page's windows, in which a busy machine need not agree with itself.
SHORT = " --stability-percentage 100000 --max-trials 3"

Run = Callable[[str, str], str]


@pytest.fixture
def run(street: Served, tools: Path) -> Run:
    path = {"PATH": os.pathsep.join([str(tools / "bin"), os.environ["PATH"]])}

    def one(line: str, layout: str) -> str:
        if line.startswith("tritonseg"):
            line += f" --overwrite --url {street.server.grpc_url}"
            return run_bash(street.written(line, layout), street.folder)
        return run_bash(street.written(line, layout), street.folder, path)

    return one


@pytest.mark.parametrize("load", LINES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_pixels(street: Served, run: Run, layout: str, load: str) -> None:
    run(PIXELS, layout)
    check(street, run(LINES[load][0] + SHORT, layout), f"{load}.csv", layout)


@pytest.mark.parametrize("load", LINES)
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "fused"])
def test_files(street: Served, run: Run, layout: str, load: str) -> None:
    run(FILES, layout)
    check(street, run(LINES[load][1] + SHORT, layout), f"{load}_files.csv", layout)


def check(street: Served, printed: str, report: str, layout: str) -> None:
    """Hold the CSV against what is printed, and look for one file a step."""
    (row,) = csv.DictReader((street.folder / report).open())
    (per_s,) = re.findall(r"^ +Throughput: (\S+) infer/sec", printed, re.M)
    assert float(row["Inferences/Second"]) == pytest.approx(float(per_s), rel=1e-3)
    assert float(row["p50 latency"]) <= float(row["p99 latency"])
    assert float(row["Avg latency"]) > 0
    assert ("Request Rate" in row) == report.startswith("open")
    steps = sorted(path.name for path in street.folder.glob(f"street-{layout}_*_v1.{report}"))
    names = ("argmax", "engine", "normalize") if layout == "ensemble" else ()
    assert steps == [f"street-{layout}_{name}_v1.{report}" for name in names]


def test_its_version_is_as_the_page_says(run: Run) -> None:
    assert re.match(
        r"Perf Analyzer Version 0\.0\.0 \(commit \w+\)", run("perf_analyzer --version 2>&1", "")
    )
