"""What nothing beats: accuracy, p99 and goodput of everything that was tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tritonseg_engines.tuning.candidate import Measured


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A configuration in the three figures by which it is chosen.

    Attributes:
        label: Of the configuration.
        equal_pixels: Share of the pixels with the export's class, 0 to 1; more is better.
        p99_ms: At its best number of callers; less is better.
        goodput_per_s: Pictures a second within the latency; more is better.
        callers: That number.
        on_frontier: Whether no other is at least as good in all three and better in one.
    """

    label: str
    equal_pixels: float
    p99_ms: float
    goodput_per_s: float
    callers: int
    on_frontier: bool


def points(measured: Sequence[Measured]) -> list[Point]:
    """Return what is served within the latency, most goodput first."""
    fitting = [one for one in measured if one.best is not None]
    figures = [_figures(one) for one in fitting]
    found = [
        Point(
            label=one.candidate.label,
            equal_pixels=one.candidate.variant.accuracy.equal_pixels,
            p99_ms=one.best.p99_ms,
            goodput_per_s=one.goodput_per_s,
            callers=one.callers or 1,
            on_frontier=not any(_beats(other, own) for other in figures),
        )
        for one, own in zip(fitting, figures, strict=True)
        if one.best is not None
    ]
    return sorted(found, key=lambda point: -point.goodput_per_s)


def _figures(one: Measured) -> tuple[float, float, float]:
    """Return the three figures, more of each being better."""
    p99_ms = float("inf") if one.best is None else one.best.p99_ms
    return one.candidate.variant.accuracy.equal_pixels, -p99_ms, one.goodput_per_s


def _beats(other: tuple[float, ...], own: tuple[float, ...]) -> bool:
    return other != own and all(theirs >= mine for theirs, mine in zip(other, own, strict=True))
