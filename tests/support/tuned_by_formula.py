"""What tuning finds where steps in a row take the place of a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stepped_queue import Steps
from tritonseg_engines.load_test.load import OpenLoop
from tritonseg_engines.tuning.candidate import Candidate
from tritonseg_engines.tuning.contest import Contestant, finalists, winner
from tritonseg_engines.tuning.open_loop import Arrivals
from tritonseg_engines.tuning.queue_time import Advice
from tritonseg_engines.tuning.search import LEAST_GAIN, search
from tritonseg_engines.tuning.tuned import Tuned, TuneOptions
from tuned_builds import build


def tuned(
    folder: Path, latency_ms: float = 400.0, service_ms: tuple[float, ...] = (2, 20, 60)
) -> Tuned:
    variants = (build(folder / "fp32"), build(folder / "int8", precision="int8", equal_pixels=0.98))
    steps = Steps(service_ms, latency_ms)
    found = search(
        [Candidate.as_built(one) for one in variants], steps.measure, cores=4, has_time=lambda: True
    )
    contestants = [
        Contestant(
            candidate=one.candidate,
            callers=one.callers or 1,
            turns=(steps.result(one.candidate, one.callers or 1),) * 3,
        )
        for one in finalists(found[0], found)
    ]
    best = winner(contestants, LEAST_GAIN)
    rates = [replace(best.typical, load=OpenLoop(arrivals_per_s=rate)) for rate in (5, 10, 20)]
    return Tuned(
        options=TuneOptions(
            latency_ms=latency_ms, most_s=60, pictures=(Path("a.png"),), transport="raw", cores=4
        ),
        variants=variants,
        measured=tuple(found),
        contestants=tuple(contestants),
        recommended=best,
        advice=Advice(candidate=best.candidate),
        curves=(Arrivals(label=best.candidate.label, capacity_per_s=10, results=tuple(rates)),),
        measured_by="a formula",
        took_s=61.0,
    )
