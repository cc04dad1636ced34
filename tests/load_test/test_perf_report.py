"""perf_analyzer's report, as 2.60 wrote it for an ensemble, and with columns moved and missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonseg_engines.errors import LoadTestError
from tritonseg_engines.load_test.perf_report import read_perf_report

REPORT = {
    "Concurrency": "2", "Inferences/Second": "8.48535", "Client Send": "249",
    "Network+Server Send/Recv": "94448", "Server Queue": "3", "Server Compute Input": "1221",
    "Server Compute Infer": "131141", "Server Compute Output": "3810", "Client Recv": "4",
    "p50 latency": "230010", "p90 latency": "250463", "p95 latency": "251819",
    "p99 latency": "261698", "Avg latency": "230878", "request/response": "253",
    "response wait": "230601",
}  # fmt: skip
ENGINE = {
    "Server Queue": "93225", "Server Compute Input": "802", "Server Compute Infer": "115860",
    "Server Compute Output": "608",
}  # fmt: skip
OUTPUT = """Request concurrency: 2
  Pass [1] throughput: 8.31706 infer/sec. Avg latency: 226162 usec (std 24041 usec).
  Pass [2] throughput: 8.5293 infer/sec. Avg latency: 233751 usec (std 13070 usec).
  Pass [3] throughput: 8.60685 infer/sec. Avg latency: 232498 usec (std 13889 usec).
  Client:
    Request count: 62
    Throughput: 8.48535 infer/sec
  Server:
    Inference count: 62
    Execution count: 62
    Successful request count: 62

  Composing models:
  street-demo_engine, version: 1
      Inference count: 61
      Execution count: 40
"""


def write(folder: Path, report: dict[str, str]) -> Path:
    rows = {"report.csv": report, "street-demo_engine_v1.report.csv": ENGINE}
    for name, row in rows.items():
        (folder / name).write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    return folder / "report.csv"


def test_a_report(tmp_path: Path) -> None:
    report = read_perf_report(write(tmp_path, REPORT), OUTPUT, "street-demo")
    assert (report.requests, report.per_s, report.mean_ms) == (62, 8.48535, 230.878)
    assert report.percentiles_ms == {50: 230.010, 90: 250.463, 95: 251.819, 99: 261.698}
    assert report.rates_per_s == [8.31706, 8.5293, 8.60685]
    assert report.means_ms == [226.162, 233.751, 232.498]
    model, engine = report.steps
    assert (model.model, model.pictures, model.executions) == ("street-demo", 62, 62)
    assert (model.queue_ms, model.infer_ms) == (0.003, 131.141)
    assert (engine.model, engine.pictures, engine.executions) == ("street-demo_engine", 61, 40)
    assert (engine.queue_ms, engine.input_ms) == (93.225, 0.802)
    assert (engine.infer_ms, engine.output_ms) == (115.860, 0.608)


def test_columns_go_by_their_names(tmp_path: Path) -> None:
    expected = read_perf_report(write(tmp_path, REPORT), OUTPUT, "street-demo")
    moved = {"Server Cache Hit": "9", **dict(reversed(REPORT.items()))}
    assert read_perf_report(write(tmp_path, moved), OUTPUT, "street-demo") == expected


@pytest.mark.parametrize("column", ["Inferences/Second", "p99 latency", "Avg latency"])
def test_a_column_that_is_not_there(column: str, tmp_path: Path) -> None:
    report = write(tmp_path, {name: REPORT[name] for name in REPORT if name != column})
    with pytest.raises(LoadTestError, match=f"expected a number in column '{column}'"):
        read_perf_report(report, OUTPUT, "street-demo")


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("Request count", "cannot be read"),
        ("Pass", "cannot be read"),
        ("street-demo_engine, version", "no counts of model 'street-demo_engine'"),
    ],
)
def test_an_output_that_says_something_else(gone: str, words: str, tmp_path: Path) -> None:
    report = write(tmp_path, REPORT)
    with pytest.raises(LoadTestError, match=words):
        read_perf_report(report, OUTPUT.replace(gone, "Other"), "street-demo")
