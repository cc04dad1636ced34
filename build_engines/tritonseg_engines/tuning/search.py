"""From each build as it is, change by change, to what serves most within the latency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tritonseg_engines.tuning.candidate import Candidate, Measured
from tritonseg_engines.tuning.proposals import neighbours
from tritonseg_engines.tuning.settings import Settings

LEAST_GAIN: Final = 0.03
"""Of goodput, for a change to be kept; less is within what two measurements differ by."""
FIRST_CALLERS: Final = 1

Measure = Callable[[Candidate, int], Measured]
"""Measures a candidate from so many callers on."""


def search(
    defaults: Sequence[Candidate], measure: Measure, *, cores: int, has_time: Callable[[], bool]
) -> list[Measured]:
    """Return everything that was measured, in its order.

    Every build is measured as it is. Then, from the one with most goodput to the one with least,
    changes are tried, the bottleneck's first, and whatever brings more is gone on from until
    nothing does: an ascent, which takes some ten servers where a grid takes hundreds.

    Args:
        defaults: The builds as they are; all are measured, whatever the time.
        measure: Serves and measures one.
        cores: That steps and CPU engines share.
        has_time: Whether another may be begun.
    """
    found = [measure(one, FIRST_CALLERS) for one in defaults]
    if found[0].failure is not None:  # nothing could be compared with what is served today
        return found
    starts = [one for one in found if one.failure is None]
    for start in sorted(starts, key=lambda one: (-one.goodput_per_s, one.least_p99_ms)):
        best: Measured | None = start
        tried = {start.candidate.settings}
        while best is not None and has_time():
            best = _one_change(best, measure, found, tried, cores=cores, has_time=has_time)
    return found


def _one_change(
    best: Measured,
    measure: Measure,
    found: list[Measured],
    tried: set[Settings],
    *,
    cores: int,
    has_time: Callable[[], bool],
) -> Measured | None:
    """Return the first change that brings more; None if none does."""
    for candidate in neighbours(best, cores=cores):
        if candidate.settings in tried or not has_time():
            continue
        tried.add(candidate.settings)
        measured = measure(candidate, best.callers or FIRST_CALLERS)
        found.append(measured)
        if measured.beats(best, LEAST_GAIN):
            return measured
    return None
