"""What perf_analyzer writes: one line of figures a model in CSV files, counts on its output.

Source: perf_analyzer 2.60, src/report_writer.cc and src/inference_profiler.cc. Columns are read by
their names, because options and releases add some in between.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tritonseg_engines.errors import LoadTestError
from tritonseg_engines.load_test.result import PERCENTILES, US_PER_MS, StepTimes

_PASS: Final = re.compile(r"Pass \[\d+\] throughput: (\S+) infer/sec\. Avg latency: (\d+) usec")
_REQUESTS: Final = re.compile(r"Client:\s+Request count: (\d+)")
_COUNTS: Final = re.compile(
    r"^ *(?P<who>Server|\S+, version): ?(?P<version>\d*) *\n"
    r" *Inference count: (?P<pictures>\d+)\n *Execution count: (?P<executions>\d+)",
    re.M,
)
_STEP_FILE: Final = re.compile(r"(?P<model>.+)_v\d+\.")


@dataclass(frozen=True, kw_only=True, slots=True)
class PerfReport:
    """One run.

    Attributes:
        requests: Answers that were counted.
        per_s: Answers a second.
        mean_ms: Mean latency.
        percentiles_ms: Latency by percentile.
        steps: The model that was asked, then its steps in the order of their names.
        rates_per_s: Answers a second of every window.
        means_ms: Mean latency of every window.
    """

    requests: int
    per_s: float
    mean_ms: float
    percentiles_ms: Mapping[int, float]
    steps: tuple[StepTimes, ...]
    rates_per_s: Sequence[float]
    means_ms: Sequence[float]


def read_perf_report(written: Path, output: str, model: str) -> PerfReport:
    """Read the report of a run with `-f`, `--verbose-csv` and `-v`.

    Args:
        written: The CSV file of the model; those of its steps lie beside it.
        output: What perf_analyzer printed.
        model: The model that was asked.

    Raises:
        LoadTestError: Something is not there.
    """
    row = _row(written)
    windows = [(float(rate), float(mean_us)) for rate, mean_us in _PASS.findall(output)]
    requests = _REQUESTS.search(output)
    if not windows or requests is None:
        raise LoadTestError(
            "perf_analyzer's output cannot be read: expected its windows and the count of requests"
        )
    return PerfReport(
        requests=int(requests[1]),
        per_s=_column(row, "Inferences/Second"),
        mean_ms=_column(row, "Avg latency") / US_PER_MS,
        percentiles_ms={rank: _column(row, f"p{rank} latency") / US_PER_MS for rank in PERCENTILES},
        steps=_steps(written, row, output, model),
        rates_per_s=[rate for rate, _ in windows],
        means_ms=[mean_us / US_PER_MS for _, mean_us in windows],
    )


def _row(path: Path) -> Mapping[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if len(rows) != 1:
        raise LoadTestError(f"perf_analyzer's {path.name}: expected one row, got {len(rows)}")
    return rows[0]


def _column(row: Mapping[str, str], name: str) -> float:
    try:
        return float(row[name])
    except (KeyError, TypeError, ValueError) as error:
        raise LoadTestError(
            f"perf_analyzer's figures: expected a number in column '{name}', got "
            f"{row.get(name)!r} among {', '.join(map(str, row))}"
        ) from error


def _steps(written: Path, row: Mapping[str, str], output: str, model: str) -> tuple[StepTimes, ...]:
    if "Server Queue" not in row:  # the server does not tell its statistics
        return ()
    counts = {
        model if found["who"] == "Server" else found["who"].removesuffix(", version"): found
        for found in _COUNTS.finditer(output)
    }
    rows = {model: row}
    for path in sorted(written.parent.glob(f"*.{written.name}")):
        name = _STEP_FILE.match(path.name)
        if name is not None:
            rows[name["model"]] = _row(path)
    return tuple(_step(name, one, counts.get(name)) for name, one in rows.items())


def _step(model: str, row: Mapping[str, str], count: re.Match[str] | None) -> StepTimes:
    if count is None:
        raise LoadTestError(f"perf_analyzer's output has no counts of model '{model}'")
    return StepTimes(
        model=model,
        executions=int(count["executions"]),
        pictures=int(count["pictures"]),
        queue_ms=_column(row, "Server Queue") / US_PER_MS,
        input_ms=_column(row, "Server Compute Input") / US_PER_MS,
        infer_ms=_column(row, "Server Compute Infer") / US_PER_MS,
        output_ms=_column(row, "Server Compute Output") / US_PER_MS,
    )
