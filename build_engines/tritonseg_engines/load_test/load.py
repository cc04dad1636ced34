"""What a load test sends, how fast, and for how long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from tritonseg_engines.errors import LoadTestError

if TYPE_CHECKING:  # what reads pictures is slow to import, and who sends them has them read
    from tritonseg_engines.perf_input import Transport

LEAST_WINDOW_S: Final = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class ClosedLoop:
    """Callers each of which sends its next request when the last one is answered.

    Such callers wait with a slow server, so they cannot ask more of it than it gives: a closed
    loop finds what a server can do at most, and hides what happens beyond that.

    Attributes:
        callers: Requests in flight, 1 or more.

    Raises:
        LoadTestError: There are no callers.
    """

    callers: int

    def __post_init__(self) -> None:
        if self.callers < 1:
            raise LoadTestError(f"callers: expected 1 or more, got {self.callers}")

    def __str__(self) -> str:
        return "1 caller" if self.callers == 1 else f"{self.callers} callers"


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenLoop:
    """Requests that arrive by chance, as a Poisson process, whether or not others were answered.

    Attributes:
        arrivals_per_s: Requests a second in the mean, above 0.

    Raises:
        LoadTestError: The rate is no number above 0.
    """

    arrivals_per_s: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.arrivals_per_s) and self.arrivals_per_s > 0):
            raise LoadTestError(f"arrivals_per_s: expected more than 0, got {self.arrivals_per_s}")

    def __str__(self) -> str:
        return f"{self.arrivals_per_s:g} arrivals a second"


Load: TypeAlias = ClosedLoop | OpenLoop


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadTarget:
    """Where requests go and what is in them.

    Attributes:
        url: The server's gRPC address, as in "localhost:8001".
        model: The model's name.
        pictures: Files, sent one after the other and again from the first; read as
            `SegmentationClient.segment` reads them.
        transport: "raw" sends pixels, "encoded" the files.

    Raises:
        LoadTestError: There are no pictures.
    """

    url: str
    model: str
    pictures: tuple[Path, ...]
    transport: Transport = "raw"

    def __post_init__(self) -> None:
        if not self.pictures:
            raise LoadTestError("pictures: expected one or more, got none")


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """How long is measured, and when the figures count as stable.

    One window after the other is measured until the last `windows` agree. They agree if the highest
    of them is at most `spread` above the lowest, in answers a second and in mean latency: the rule
    of perf_analyzer. What is reported is the last `windows` together.

    Attributes:
        warm_up_s: Load before anything counts, in seconds.
        window_s: Length of a window, in seconds.
        least_answers: Answers that a window has, refusals among them; it is prolonged until it has
            them.
        windows: Windows that must agree.
        spread: Share of the lowest, 0.1 for 10 %.
        most_s: Seconds for warm-up and all windows. What was measured by then is reported, and is
            not stable.

    Raises:
        LoadTestError: A length is not above 0, or `most_s` has no room for the windows.

    Source: perf_analyzer, docs/cli.md, --stability-percentage, --measurement-interval.
    """

    warm_up_s: float = 1.0
    window_s: float = 2.0
    least_answers: int = 20
    windows: int = 3
    spread: float = 0.1
    most_s: float = 30.0

    def __post_init__(self) -> None:
        if self.window_s < LEAST_WINDOW_S or self.warm_up_s < 0:
            raise LoadTestError(
                f"window_s, warm_up_s: expected {LEAST_WINDOW_S} or more and 0 or more, got "
                f"{self.window_s:g} and {self.warm_up_s:g}"
            )
        if self.windows < 1 or self.least_answers < 1 or not self.spread > 0:
            raise LoadTestError(
                "windows, least_answers, spread: expected 1 or more, 1 or more and more than 0, "
                f"got {self.windows}, {self.least_answers} and {self.spread:g}"
            )
        least_s = self.warm_up_s + self.windows * self.window_s
        if self.most_s < least_s:
            raise LoadTestError(
                f"most_s: expected {least_s:g} or more, for the warm-up and {self.windows} windows "
                f"of {self.window_s:g} s, got {self.most_s:g}"
            )
