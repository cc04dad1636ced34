"""The report of a search, from figures of a formula: every form says the same."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tritonseg_engines.tuning.report import write_report
from tuned_by_formula import tuned


class Checked(HTMLParser):
    """Counts elements, and fails on one that is closed and was not opened."""

    VOID = ("meta", "link", "img", "br", "use", "path", "rect")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self.seen.append(tag)


def test_every_form_has_the_recommendation(tmp_path: Path) -> None:
    result = tuned(tmp_path)
    assert not result.keeps_default
    written = write_report(result, tmp_path / "out")
    label = result.recommended.candidate.label
    for path in (written.html, written.markdown, written.json, written.csv):
        assert label in path.read_text()
    assert written.patch is not None
    document = json.loads(written.json.read_text())
    assert document["recommended"] == label
    in_turns = {one["configuration"]: one["goodput_per_s"] for one in document["in_turns"]}
    gain = in_turns[label] / in_turns["ensemble fp32, as it is"]
    assert f"{gain:.2f} times" in written.markdown.read_text()


def test_the_csv_has_perf_analyzers_columns_and_accuracy(tmp_path: Path) -> None:
    result = tuned(tmp_path)
    rows = list(csv.DictReader(io.StringIO(write_report(result, tmp_path / "out").csv.read_text())))
    assert len(rows) == sum(len(one.by_callers) for one in result.measured)
    for column in ("Concurrency", "Inferences/Second", "p99 latency", "Server Queue"):
        assert all(row[column] for row in rows)
    shares = {row["Configuration"].split(",")[0]: row["Pixels as the export's"] for row in rows}
    assert shares == {"ensemble fp32": "0.9999", "ensemble int8": "0.98"}


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    text = write_report(tuned(tmp_path), tmp_path / "out").html.read_text()
    page = Checked()
    page.feed(text)
    assert page.seen.count("svg") == 5
    assert "script" not in page.seen
    assert not re.search(r"(src|href)=['\"]?https?:", text)
    for drawing in re.findall(r"<svg.*?</svg>", text, re.S):
        ET.fromstring(drawing)


def test_a_default_that_nothing_beats_is_kept(tmp_path: Path) -> None:
    # One caller at a time: more of any step is of no use.
    result = tuned(tmp_path, latency_ms=124.0)
    assert result.keeps_default
    written = write_report(result, tmp_path / "out")
    assert written.patch is None
    assert "Keep what is served today" in written.markdown.read_text()


def test_a_patch_of_an_earlier_run_does_not_stay(tmp_path: Path) -> None:
    write_report(tuned(tmp_path / "1"), tmp_path / "out")
    assert (tmp_path / "out" / "recommended.patch").exists()
    write_report(tuned(tmp_path / "2", latency_ms=124.0), tmp_path / "out")
    assert not (tmp_path / "out" / "recommended.patch").exists()


def test_a_latency_that_nothing_keeps_is_said(tmp_path: Path) -> None:
    result = tuned(tmp_path, latency_ms=50.0)
    text = write_report(result, tmp_path / "out").markdown.read_text()
    assert "Nothing that was tried answers 99 of 100 pictures within 50 ms" in text
    assert "the least p99 is 123 ms" in text  # 1.5 times 82


def test_the_same_figures_give_the_same_files(tmp_path: Path) -> None:
    result = tuned(tmp_path)
    first, second = write_report(result, tmp_path / "1"), write_report(result, tmp_path / "2")
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()
    assert first.html.name == second.html.name


@pytest.mark.parametrize("service_ms", [(2, 20, 60), (60, 20, 2), (2, 60, 20)])
def test_the_bottleneck_is_named(tmp_path: Path, service_ms: tuple[float, ...]) -> None:
    steps = ("tiny_normalize", "tiny_engine", "tiny_argmax")
    slowest = steps[service_ms.index(60)]
    text = write_report(
        tuned(tmp_path, service_ms=service_ms), tmp_path / "out"
    ).markdown.read_text()
    assert f"Today: {slowest} queues: requests wait" in text or f"{slowest} is the busiest" in text
