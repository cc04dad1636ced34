"""Pictures a second once more callers bring no more, and where requests then wait."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from cases import Case
from contenders import ENGINE, ENSEMBLE, HINTS, LAYOUTS, NAIVE, Served, engine_rate, served
from pace import Pace, RateOf, closed_loop_rate, rates
from results import markdown_table

from tritonseg_engines.serving.latency import LatencyProbe

MODELS = ("hrnetv2-w18-small-v1-cityscapes", "fastseg-small", "pspnet-pytorch")
CONCURRENCIES = (4, 8)
FLAT = 0.05
"""Largest gain from the smaller to the larger concurrency at which the rate counts as flat."""


def measure(case: Case, folder: Path, pace: Pace) -> dict[str, Any]:
    """Return pictures a second by contender and concurrency, and the ensemble's waiting."""
    with served(case, folder) as one:
        loops = {name: _loop(call, pace) for name, call in one.segment.items()}
        for hint in HINTS:
            loops[f"{ENGINE}, {hint}"] = _engine_loop(one, hint, pace)
        for call in list(one.segment.values()) * pace.warm_up:
            call()
        by_concurrency = rates(loops, CONCURRENCIES, pace.loop_rounds)
        waiting = _waiting(one, pace)
    return {
        "loop_rounds": pace.loop_rounds,
        "loop_s": pace.loop_s,
        "pictures_per_s": by_concurrency,
        "saturated": {name: max(found.values()) for name, found in by_concurrency.items()},
        **waiting,
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the results of all models, a column each."""
    columns = list(results.values())
    names = [name for name in (*LAYOUTS, NAIVE) if name in columns[0]["saturated"]]
    rows = [
        *(
            [f"{ENGINE}, {hint} hint", *(_rate(one, f"{ENGINE}, {hint}") for one in columns)]
            for hint in HINTS
        ),
        *([name, *(_rate(one, name) for one in columns)] for name in names),
        *(
            [f"**{name} / {ENGINE}**", *(f"**{_share(one, name):.3f}**" for one in columns)]
            for name in names
        ),
        *(
            [f"{name}: {CONCURRENCIES[1]} callers against {CONCURRENCIES[0]}",
             *(_flatness(one, name) for one in columns)]
            for name in names
        ),
        *_waiting_rows(columns),
        ["rounds x seconds", *(f"{one['loop_rounds']} x {one['loop_s']:g}" for one in columns)],
    ]  # fmt: skip
    return markdown_table(["", *results], rows)


def _loop(call: Any, pace: Pace) -> RateOf:
    return lambda concurrency: closed_loop_rate(call, concurrency=concurrency, loop_s=pace.loop_s)


def _engine_loop(one: Served, hint: str, pace: Pace) -> RateOf:
    """Return the queue's own loop; how many requests it keeps going is OpenVINO's choice."""
    rate = engine_rate(one, hint)
    return lambda _concurrency: rate(pace.loop_s)


def _waiting(one: Served, pace: Pace) -> dict[str, Any]:
    """Return the ensemble's mean milliseconds by step in one more loop, by Triton's count."""
    probe = LatencyProbe(one.url, one.ensemble)
    loop = partial(closed_loop_rate, concurrency=CONCURRENCIES[-1], loop_s=pace.loop_s)
    loop(one.segment[ENSEMBLE])
    _, normalize, engine, argmax = probe.latencies()
    return {
        "engine_compute_ms": engine.infer_ms,
        "queue_ms": {
            "normalize": normalize.queue_ms,
            "engine": engine.queue_ms,
            "argmax": argmax.queue_ms,
        },
    }


def _waiting_rows(columns: list[dict[str, Any]]) -> list[list[str]]:
    """Return where requests wait, against the engine's work and against the time of a picture.

    Triton counts the time of a whole batch for every request in it, so a full queue makes the
    engine's work look long; the time between two pictures does not depend on that.
    """
    steps = ("normalize", "argmax")
    waiting = [sum(one["queue_ms"][step] for step in steps) for one in columns]
    compute = [one["engine_compute_ms"] for one in columns]
    between = [1000 / one["saturated"][ENSEMBLE] for one in columns]
    return [
        ["engine's compute of a request", *(f"{value:.1f} ms" for value in compute)],
        ["time between two pictures", *(f"{value:.1f} ms" for value in between)],
        *(
            [f"waiting for {step}", *(f"{one['queue_ms'][step]:.1f} ms" for one in columns)]
            for step in columns[0]["queue_ms"]
        ),
        ["**waiting for both steps / engine's compute**", *_shares(waiting, compute)],
        ["waiting for both steps / time between pictures", *_shares(waiting, between)],
    ]


def _shares(parts: list[float], wholes: list[float]) -> list[str]:
    return [f"{part / whole:.1%}" for part, whole in zip(parts, wholes, strict=True)]


def _rate(one: dict[str, Any], name: str) -> str:
    return f"{one['saturated'][name]:.2f} /s"


def _share(one: dict[str, Any], name: str) -> float:
    engine = max(one["saturated"][f"{ENGINE}, {hint}"] for hint in HINTS)
    share: float = one["saturated"][name] / engine
    return share


def _flatness(one: dict[str, Any], name: str) -> str:
    few, many = (one["pictures_per_s"][name][at] for at in CONCURRENCIES)
    gain = many / few - 1
    return f"{gain:+.1%}{'' if gain <= FLAT else ', still rising'}"
