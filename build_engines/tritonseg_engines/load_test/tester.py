"""Who measures: NVIDIA's perf_analyzer where it runs, our own loader elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from tritonseg_engines.errors import LoadTestError
from tritonseg_engines.load_test.built_in import DEFAULT_WINDOW, BuiltInLoader
from tritonseg_engines.load_test.load import Load, LoadTarget, Window
from tritonseg_engines.load_test.perf_analyzer import PerfAnalyzer
from tritonseg_engines.load_test.perf_program import find_perf_analyzer
from tritonseg_engines.load_test.result import LoadResult

Choice: TypeAlias = Literal["auto", "perf_analyzer", "built-in"]


class LoadTester(Protocol):
    """Whatever can put a server under load and count the answers."""

    @property
    def name(self) -> str:
        """What `LoadResult.measured_by` begins with."""
        ...

    def measure(
        self,
        target: LoadTarget,
        load: Load,
        *,
        latency_budget_ms: float,
        window: Window = DEFAULT_WINDOW,
    ) -> LoadResult:
        """Put the target under this load and return what came of it.

        Raises:
            LoadTestError: Nothing could be measured.
            InvalidImageError: A picture that a client would refuse.
        """
        ...


def find_load_tester(
    choice: Choice = "auto", *, executable: Path | None = None
) -> tuple[LoadTester, str | None]:
    """Return who measures here, and why that is not perf_analyzer.

    Args:
        choice: "auto" takes perf_analyzer where it runs and the built-in loader elsewhere.
        executable: perf_analyzer's; None for the variable TRITONSEG_PERF_ANALYZER, then the PATH.

    Returns:
        The tester, and one line if "auto" could not take perf_analyzer, else None.

    Raises:
        LoadTestError: perf_analyzer was chosen and does not run here.
    """
    if choice == "built-in":
        return BuiltInLoader(), None
    try:
        return PerfAnalyzer(executable=find_perf_analyzer(executable)), None
    except LoadTestError as error:
        if choice == "perf_analyzer":
            raise
        return BuiltInLoader(), f"measured by the built-in loader: {error}"
