"""NVIDIA's perf_analyzer as a load tester."""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tritonseg_engines.errors import LoadTestError
from tritonseg_engines.load_test.built_in import DEFAULT_WINDOW, BuiltInLoader
from tritonseg_engines.load_test.load import ClosedLoop, Load, LoadTarget, OpenLoop, Window
from tritonseg_engines.load_test.outcomes import difference
from tritonseg_engines.load_test.perf_report import PerfReport, read_perf_report
from tritonseg_engines.load_test.process import ended
from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.perf_input import write_perf_input

NAME: Final = "perf_analyzer"
WINDOWS: Final = 3
"""That perf_analyzer compares; source: its src/inference_profiler.h, stability_window."""
ANY_SPREAD: Final = 1_000_000
"""Percent. Where windows differ it ends without a figure, so it takes all, and we compare them."""
WARM_UP_REQUESTS: Final = 2
SLACK_S: Final = 60.0
"""For it to start, to read the pictures, and to wait for the last answers."""
MS_PER_S: Final = 1000.0
SIGMAS: Final = 3
_REFUSED: Final = re.compile(r"Thread \[\d+\] had error: (.+)")


class _RequestError(Exception):
    """A request failed, which ends perf_analyzer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PerfAnalyzer:
    """Measures with perf_analyzer, over gRPC, three windows a run, and runs until they agree.

    Three things it does not do. It ends at the first request that fails or is refused, so such a
    load is measured once more by the built-in loader, and `measured_by` says so. It counts no
    answers within a budget: `within_budget` is what the percentiles guarantee, 99, 95, 90 or 50 of
    100 answers, or none (its --profile-export-file would tell, and with each answer writes the
    whole mask as numbers). And it does not count what it sends: `sent` is what was answered.

    Attributes:
        executable: The program.
        fallback: Who measures what it cannot.
    """

    executable: Path
    fallback: BuiltInLoader = field(default_factory=BuiltInLoader)

    @property
    def name(self) -> str:
        """What `LoadResult.measured_by` begins with, if nothing was refused."""
        return NAME

    def measure(
        self,
        target: LoadTarget,
        load: Load,
        *,
        latency_budget_ms: float,
        window: Window = DEFAULT_WINDOW,
    ) -> LoadResult:
        """Put the target under this load and return what came of it.

        `window.windows` is three here, whatever it says.

        Raises:
            LoadTestError: perf_analyzer failed, or the server does not answer the pictures.
            InvalidImageError: A picture that a client would refuse.
        """
        with tempfile.TemporaryDirectory(prefix="tritonseg_load_") as name:
            folder = Path(name)
            write_perf_input(target.pictures, folder / "pictures.json", transport=target.transport)
            try:
                report = self._stable_report(target, load, window, folder)
            except _RequestError as error:
                result = self.fallback.measure(
                    target, load, latency_budget_ms=latency_budget_ms, window=window
                )
                words = f"{result.measured_by}, because a failed request ends perf_analyzer"
                remark = f"perf_analyzer ended at a request that failed: {error}"
                return replace(result, measured_by=words, remarks=(*result.remarks, remark))
        return _result(report, load, latency_budget_ms, window)

    def _stable_report(
        self, target: LoadTarget, load: Load, window: Window, folder: Path
    ) -> PerfReport:
        """Return the first report whose windows agree, or the last that there was time for."""
        ends_at = time.monotonic() + window.most_s
        length_s = window.window_s
        while True:
            begun = time.monotonic()
            report = self._run(target, load, window, folder, length_s)
            took_s = time.monotonic() - begun
            too_few = WINDOWS * window.least_answers / max(1, report.requests)
            if too_few <= 1 and _unstable(report, load, window) is None:
                return report
            longer = max(1.0, too_few)
            if time.monotonic() + took_s * longer > ends_at:
                return report
            length_s *= longer

    def _run(
        self, target: LoadTarget, load: Load, window: Window, folder: Path, length_s: float
    ) -> PerfReport:
        written = folder / "report.csv"
        command = [str(self.executable), *_options(target, load, window, length_s)]
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(  # noqa: S603 - `find_perf_analyzer` started it once
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # so that Ctrl-C reaches us alone, and we end all of it
            )
            most_s = WINDOWS * length_s + window.most_s + SLACK_S
            output = ended(process, NAME, within_s=most_s).decode(errors="replace")
            errors.seek(0)
            complaint = errors.read().decode(errors="replace")
        if process.returncode != 0:
            raise _failure(process.returncode, output + complaint)
        return read_perf_report(written, output, target.model)


def _options(target: LoadTarget, load: Load, window: Window, length_s: float) -> list[str]:
    options = ["-m", target.model, "-u", target.url, "-i", "grpc"]
    options += ["--input-data", "pictures.json", "-f", "report.csv", "--verbose-csv", "-v"]
    options += ["--measurement-interval", str(math.ceil(length_s * MS_PER_S))]
    options += ["--max-trials", str(WINDOWS), "--stability-percentage", str(ANY_SPREAD)]
    if isinstance(load, ClosedLoop):
        warm_up = WARM_UP_REQUESTS * load.callers
        options += ["--concurrency-range", str(load.callers)]
    else:
        warm_up = math.ceil(window.warm_up_s * load.arrivals_per_s)
        # Without --async no more than --max-threads requests would ever be on their way.
        options += ["--request-rate-range", f"{load.arrivals_per_s:.6g}", "--async"]
        options += ["--request-distribution", "poisson"]
    return options + (["--warmup-request-count", str(warm_up)] if window.warm_up_s else [])


def _failure(status: int, text: str) -> Exception:
    refused = _REFUSED.search(text)
    if refused is not None:
        return _RequestError(refused[1].strip())
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return LoadTestError(f"perf_analyzer ended with {status}: {lines[-1] if lines else 'silently'}")


def _unstable(report: PerfReport, load: Load, window: Window) -> str | None:
    if isinstance(load, OpenLoop):
        expected = load.arrivals_per_s * report.requests / report.per_s
        if report.requests < expected - max(window.spread * expected, SIGMAS * math.sqrt(expected)):
            return (
                f"{report.per_s:.4g} answers came for {load.arrivals_per_s:g} arrivals a second: "
                "requests pile up, and latency grows for as long as that goes on"
            )
    return difference(report.rates_per_s, report.means_ms, spread=window.spread)


def _result(report: PerfReport, load: Load, latency_budget_ms: float, window: Window) -> LoadResult:
    unstable = _unstable(report, load, window)
    share = max(
        (rank for rank, ms in report.percentiles_ms.items() if ms <= latency_budget_ms), default=0
    )
    within = f"at least {share} of 100 answers were within {latency_budget_ms:g} ms, by percentiles"
    return LoadResult(
        load=load,
        latency_budget_ms=latency_budget_ms,
        duration_s=report.requests / report.per_s,
        sent=report.requests,
        answered=report.requests,
        within_budget=math.floor(report.requests * share / 100),
        refused=0,
        failed=0,
        mean_ms=report.mean_ms,
        percentiles_ms=report.percentiles_ms,
        steps=report.steps,
        is_stable=unstable is None,
        measured_by=NAME,
        remarks=(*((unstable,) if unstable else ()), within),
    )
