"""NVIDIA's perf_analyzer and the built-in loader, in turns at the same server.

perf_analyzer is looked for as `tritonseg tune` does: TRITONSEG_PERF_ANALYZER, then the PATH.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pace import Pace
from results import markdown_table

from tritonseg_engines.build.model import build_model
from tritonseg_engines.load_test import (
    ClosedLoop,
    Load,
    LoadResult,
    LoadTarget,
    OpenLoop,
    Window,
    find_load_tester,
)
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.zoo.street_demo import DEMO_NAME, DEMO_ONNX, STREET, demo_spec

LAYOUTS: Final = ("ensemble", "single")
CALLERS: Final = 4
LOAD_SHARE: Final = 0.6
"""Of the capacity, at which arrivals are random and nothing is refused."""
BUDGET_MS: Final = 1000.0
TESTERS: Final = ("perf_analyzer", "built-in")
FIGURES: Final[Mapping[str, Callable[[LoadResult], float]]] = {
    "answers a second": lambda result: result.answered_per_s,
    "p50, ms": lambda result: result.percentiles_ms[50],
    "p99, ms": lambda result: result.p99_ms,
}
ROUNDS: Final = 3


def measure(folder: Path, pace: Pace) -> list[dict[str, Any]]:
    """Return, for every layout, load and figure, the medians of both and of their ratios."""
    window = Window(
        warm_up_s=1.0, window_s=pace.loop_s / 4, least_answers=1, most_s=2 * pace.loop_s
    )
    rounds = ROUNDS if pace.loop_rounds > 1 else 1
    return [row for layout in LAYOUTS for row in _measure(layout, folder, window, rounds)]


def _measure(layout: str, folder: Path, window: Window, rounds: int) -> list[dict[str, Any]]:
    repository = folder / layout
    build_model(demo_spec(), DEMO_ONNX, repository, layout=layout)
    testers = {name: find_load_tester(name)[0] for name in TESTERS}
    found: dict[str, dict[str, list[LoadResult]]] = {}
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        target = LoadTarget(url=server.grpc_url, model=DEMO_NAME, pictures=(STREET,))

        def turn(load: Load) -> dict[str, LoadResult]:
            return {
                name: tester.measure(target, load, latency_budget_ms=BUDGET_MS, window=window)
                for name, tester in testers.items()
            }

        closed = ClosedLoop(callers=CALLERS)
        capacity_per_s = turn(closed)["built-in"].answered_per_s
        open_loop = OpenLoop(arrivals_per_s=LOAD_SHARE * capacity_per_s)
        for _ in range(rounds):
            for load in (closed, open_loop):
                for name, result in turn(load).items():
                    by_tester = found.setdefault(str(load), {})
                    by_tester.setdefault(name, []).append(result)
    return [
        {"layout": layout, "load": load, "figure": figure, **_compared(results, value)}
        for load, results in found.items()
        for figure, value in FIGURES.items()
    ]


def _compared(
    results: Mapping[str, list[LoadResult]], value: Callable[[LoadResult], float]
) -> dict[str, Any]:
    values = {name: [value(one) for one in results[name]] for name in TESTERS}
    ratios = [ours / theirs for theirs, ours in zip(*values.values(), strict=True)]
    medians = {name: statistics.median(ones) for name, ones in values.items()}
    return {**medians, "ratio": statistics.median(ratios), "rounds": len(ratios)}


def table(rows: list[dict[str, Any]]) -> str:
    """Return a row for every figure."""
    return markdown_table(
        ["layout", "load", "", *TESTERS, "built-in to perf_analyzer", "rounds"],
        [
            [
                row["layout"],
                row["load"],
                row["figure"],
                *(f"{row[name]:.1f}" for name in TESTERS),
                f"**{row['ratio']:.3f}**",
                f"{row['rounds']}",
            ]
            for row in rows
        ],
    )
