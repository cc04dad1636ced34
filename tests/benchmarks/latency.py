"""What serving costs on top of the engine: one caller, in turns, medians."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cases import Case
from contenders import ENGINE, ENSEMBLE, LAYOUTS, NAIVE, engine_call, served
from pace import Pace, latencies_ms
from results import markdown_table

from tritonseg_engines.serving.latency import LatencyProbe

MODELS = ("hrnetv2-w18-small-v1-cityscapes", "fastseg-small", "pspnet-pytorch")
STEPS = ("normalize", "engine", "argmax")


def measure(case: Case, folder: Path, pace: Pace) -> dict[str, Any]:
    """Return median milliseconds, pixels equal to ONNX Runtime's, and the steps' means."""
    with served(case, folder) as one:
        expected = case.expected()
        equal = {name: float((call() == expected).mean()) for name, call in one.segment.items()}
        calls: dict[str, Callable[[], object]] = {ENGINE: engine_call(one), **one.segment}
        probe = LatencyProbe(one.url, one.ensemble)
        times_ms = latencies_ms(calls, pace)
        _, *steps = probe.latencies()
    return {
        "rounds": pace.rounds,
        "input_hw": case.image_hwc.shape[:2],
        "boundary_share": case.boundary_share,
        "median_ms": {name: statistics.median(values) for name, values in times_ms.items()},
        "quartiles_ms": {name: _quartiles(values) for name, values in times_ms.items()},
        "equal_pixels": equal,
        "step_ms": dict(zip(STEPS, (step.total_ms for step in steps), strict=True)),
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the results of all models, a column each."""
    columns = list(results.values())
    names = [name for name in (ENGINE, *LAYOUTS, NAIVE) if name in columns[0]["median_ms"]]
    rows = [
        ["picture", *("{1}x{0}".format(*one["input_hw"]) for one in columns)],
        ["cells on a class boundary", *(f"{one['boundary_share']:.1%}" for one in columns)],
        *([name, *(_milliseconds(one, name) for one in columns)] for name in names),
        *(
            [f"**{name} / {ENGINE}**", *(f"**{_ratio(one, name, ENGINE):.3f}**" for one in columns)]
            for name in names[1:]
        ),
        [f"{NAIVE} / {ENSEMBLE}", *(f"{_ratio(one, NAIVE, ENSEMBLE):.2f}" for one in columns)],
        *(
            [f"pixels equal, {name}", *(f"{one['equal_pixels'][name]:.4%}" for one in columns)]
            for name in names[1:]
        ),
        *(
            [f"of the ensemble: {step}", *(f"{one['step_ms'][step]:.1f} ms" for one in columns)]
            for step in STEPS
        ),
        ["rounds", *(str(one["rounds"]) for one in columns)],
    ]
    return markdown_table(["", *results], rows)


def _quartiles(values: list[float]) -> tuple[float, float]:
    first, _, third = statistics.quantiles(values, n=4)
    return first, third


def _milliseconds(one: dict[str, Any], name: str) -> str:
    first, third = one["quartiles_ms"][name]
    return f"{one['median_ms'][name]:.1f} ({first:.0f}–{third:.0f}) ms"


def _ratio(one: dict[str, Any], name: str, other: str) -> float:
    quotient: float = one["median_ms"][name] / one["median_ms"][other]
    return quotient
