"""MLCommons' LoadGen and the built-in loader, in turns at the same server: random arrivals.

LoadGen's Server scenario is a Poisson process like the built-in loader's; times are those of its
own summary. It needs `mlcommons-loadgen`, which brings the module `mlperf_loadgen`.
"""

from __future__ import annotations

import importlib
import re
import statistics
from pathlib import Path
from typing import Any, Final

import numpy as np
import tritonclient.grpc as triton
from loaders import BUDGET_MS, CALLERS, FIGURES, LAYOUTS, LOAD_SHARE, ROUNDS
from pace import Pace
from PIL import Image
from results import markdown_table

from tritonseg_engines.build.model import build_model
from tritonseg_engines.load_test import ClosedLoop, LoadTarget, OpenLoop, Window, find_load_tester
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.zoo.street_demo import DEMO_NAME, DEMO_ONNX, STREET, demo_spec

LINES: Final = {
    "answers a second": r"Completed samples per second\s*:\s*([\d.]+)",
    "p50, ms": r"50.00 percentile latency \(ns\)\s*:\s*(\d+)",
    "p99, ms": r"99.00 percentile latency \(ns\)\s*:\s*(\d+)",
}
"""Of `mlperf_log_summary.txt`, by the names in `loaders.FIGURES`."""


def measure(folder: Path, pace: Pace) -> list[dict[str, Any]]:
    """Return, for every layout and figure, the medians of both and of their ratios."""
    rounds = ROUNDS if pace.loop_rounds > 1 else 1
    return [row for one in LAYOUTS for row in _measure(one, folder, pace.loop_s, rounds)]


def _measure(layout: str, folder: Path, window_s: float, rounds: int) -> list[dict[str, Any]]:
    repository = folder / layout
    build_model(demo_spec(), DEMO_ONNX, repository, layout=layout)
    window = Window(warm_up_s=1.0, window_s=window_s, least_answers=1, most_s=4 * window_s)
    tester, _ = find_load_tester("built-in")
    found: list[tuple[dict[str, float], dict[str, float]]] = []
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        target = LoadTarget(url=server.grpc_url, model=DEMO_NAME, pictures=(STREET,))
        closed = tester.measure(
            target, ClosedLoop(callers=CALLERS), latency_budget_ms=BUDGET_MS, window=window
        )
        load = OpenLoop(arrivals_per_s=LOAD_SHARE * closed.answered_per_s)
        for number in range(rounds):
            result = tester.measure(target, load, latency_budget_ms=BUDGET_MS, window=window)
            ours = {figure: value(result) for figure, value in FIGURES.items()}
            log = folder / f"{layout}-{number}"
            theirs = _by_loadgen(server.grpc_url, load.arrivals_per_s, 3 * window_s, log)
            found.append((theirs, ours))
    return [
        {
            "layout": layout,
            "figure": figure,
            "LoadGen": statistics.median(theirs[figure] for theirs, _ in found),
            "built-in": statistics.median(ours[figure] for _, ours in found),
            "ratio": statistics.median(ours[figure] / theirs[figure] for theirs, ours in found),
            "rounds": rounds,
        }
        for figure in FIGURES
    ]


def _by_loadgen(url: str, arrivals_per_s: float, seconds: float, log: Path) -> dict[str, float]:
    loadgen = importlib.import_module("mlperf_loadgen")
    pixels = np.asarray(Image.open(STREET).convert("RGB"))[None]
    image = triton.InferInput("IMAGE", list(pixels.shape), "UINT8")
    image.set_data_from_numpy(pixels)
    outputs = [triton.InferRequestedOutput("CLASS_MAP")]
    with triton.InferenceServerClient(url) as client:

        def answered(number: int, error: Exception | None) -> None:
            if error is None:
                loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(number, 0, 0)])

        def issue(samples: list[Any]) -> None:
            for sample in samples:
                client.async_infer(
                    DEMO_NAME,
                    [image],
                    lambda result, error, number=sample.id: answered(number, error),
                    outputs=outputs,
                )

        sut = loadgen.ConstructSUT(issue, lambda: None)
        library = loadgen.ConstructQSL(1, 1, lambda _: None, lambda _: None)
        try:
            _run(loadgen, sut, library, arrivals_per_s, seconds, log)
        finally:
            loadgen.DestroyQSL(library)
            loadgen.DestroySUT(sut)
    text = (log / "mlperf_log_summary.txt").read_text(encoding="utf-8")
    values = {name: float(re.findall(line, text)[0]) for name, line in LINES.items()}
    return {name: one / 1e6 if name.endswith("ms") else one for name, one in values.items()}


def _run(
    loadgen: Any, sut: Any, library: Any, arrivals_per_s: float, seconds: float, log: Path
) -> None:
    log.mkdir()
    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.Server
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = arrivals_per_s
    settings.server_target_latency_ns = int(BUDGET_MS * 1e6)
    settings.min_duration_ms = int(seconds * 1000)
    settings.min_query_count = int(arrivals_per_s * seconds)
    logs = loadgen.LogSettings()
    logs.log_output.outdir = str(log)
    logs.log_output.copy_summary_to_stdout = False
    loadgen.StartTestWithLogSettings(sut, library, settings, logs)


def table(rows: list[dict[str, Any]]) -> str:
    """Return a row for every figure."""
    return markdown_table(
        ["layout", "", "LoadGen", "built-in", "built-in to LoadGen", "rounds"],
        [
            [
                row["layout"],
                row["figure"],
                f"{row['LoadGen']:.1f}",
                f"{row['built-in']:.1f}",
                f"**{row['ratio']:.3f}**",
                f"{row['rounds']}",
            ]
            for row in rows
        ],
    )
