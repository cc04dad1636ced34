"""One configuration of one variant, and what was measured of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.tuning.climb import is_in_time
from tritonseg_engines.tuning.configs import Configs, with_settings
from tritonseg_engines.tuning.settings import Settings
from tritonseg_engines.tuning.variant import Variant


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """What could be served.

    Attributes:
        variant: The build.
        settings: How it would run.
    """

    variant: Variant
    settings: Settings

    @classmethod
    def as_built(cls, variant: Variant) -> Candidate:
        """Return a variant as it lies in its repository."""
        return cls(variant=variant, settings=variant.settings)

    @property
    def label(self) -> str:
        """How reports call it."""
        return f"{self.variant.label}, {self.settings.described(self.variant.settings)}"

    @property
    def configs(self) -> Configs:
        """Its configs by folder."""
        return with_settings(self.variant.model, self.variant.configs, self.settings)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A candidate and its answers under load.

    Attributes:
        candidate: What was served.
        by_callers: What came of every number of callers that was tried, ascending; empty if it
            could not be served.
        failure: Why it could not, in one line.
    """

    candidate: Candidate
    by_callers: Mapping[int, LoadResult]
    failure: str | None = None

    @property
    def callers(self) -> int | None:
        """The number of callers with most goodput of those that are answered in time."""
        fitting = [at for at, result in self.by_callers.items() if is_in_time(result)]
        return max(fitting, key=lambda at: self.by_callers[at].goodput_per_s, default=None)

    @property
    def best(self) -> LoadResult | None:
        """The result with them; None where no number of them is answered in time."""
        return None if self.callers is None else self.by_callers[self.callers]

    @property
    def goodput_per_s(self) -> float:
        """Its best goodput; 0 where there is none."""
        return 0.0 if self.best is None else self.best.goodput_per_s

    @property
    def least_p99_ms(self) -> float:
        """The least p99 of all numbers of callers; infinite where nothing was answered."""
        found = (one.p99_ms for one in self.by_callers.values() if one.answered)
        return min(found, default=math.inf)

    def beats(self, other: Measured, least_gain: float) -> bool:
        """Whether it has more goodput, by so large a share, or less p99 where neither has any."""
        if self.goodput_per_s or other.goodput_per_s:
            return self.goodput_per_s > other.goodput_per_s * (1 + least_gain)
        return self.least_p99_ms * (1 + least_gain) < other.least_p99_ms
