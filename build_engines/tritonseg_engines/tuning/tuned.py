"""What is asked of tuning, and what it found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tritonseg_engines.perf_input import Transport
from tritonseg_engines.tuning.candidate import Candidate, Measured
from tritonseg_engines.tuning.contest import Contestant
from tritonseg_engines.tuning.open_loop import Arrivals
from tritonseg_engines.tuning.queue_time import Advice
from tritonseg_engines.tuning.variant import Variant


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneOptions:
    """What is asked for.

    Attributes:
        latency_ms: Within which 99 of 100 pictures shall be answered.
        most_s: How long it may all take, in seconds; what runs then is finished.
        pictures: What callers send.
        transport: As pixels or as files.
        cores: That steps and CPU engines share.
        named_pictures: From how many the pictures were taken; 0 where none was named.
    """

    latency_ms: float
    most_s: float
    pictures: tuple[Path, ...]
    transport: Transport
    cores: int
    named_pictures: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """What was found.

    Attributes:
        options: What was asked for.
        variants: The builds that were compared; the first is what is served today.
        measured: All that the search measured, in its order.
        contestants: What is served today, then the finalists, measured again in turns.
        recommended: One of them.
        advice: That one, with a line that is as long as its callers have time.
        dropped: Why finalists were not measured to the end, a line each.
        curves: Poisson arrivals of what is served today and, if it is another, the advised.
        measured_by: The tool.
        took_s: Seconds in all.
    """

    options: TuneOptions
    variants: tuple[Variant, ...]
    measured: tuple[Measured, ...]
    contestants: tuple[Contestant, ...]
    recommended: Contestant
    advice: Advice
    curves: tuple[Arrivals, ...]
    measured_by: str
    took_s: float
    dropped: tuple[str, ...] = ()

    @property
    def advised(self) -> Candidate:
        """What to serve."""
        return self.advice.candidate

    @property
    def default(self) -> Contestant:
        """What is served today."""
        return self.contestants[0]

    @property
    def keeps_default(self) -> bool:
        """Whether nothing that was tried beats what is served today."""
        return self.recommended is self.default

    @property
    def gain(self) -> float:
        """Goodput of the recommended over that of today's; infinite where today's has none."""
        if not self.default.goodput_per_s:
            return float("inf") if self.recommended.goodput_per_s else 1.0
        return self.recommended.goodput_per_s / self.default.goodput_per_s
