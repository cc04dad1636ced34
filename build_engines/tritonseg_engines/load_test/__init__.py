"""How many pictures a server answers, and how many of them in time, under a given load.

Example:
    tester, remark = find_load_tester()
    target = LoadTarget(url="localhost:8001", model="street-demo", pictures=tuple(pictures))
    result = tester.measure(target, OpenLoop(arrivals_per_s=20), latency_budget_ms=200)
    result.goodput_per_s
"""

from __future__ import annotations

from tritonseg_engines.load_test.load import ClosedLoop, Load, LoadTarget, OpenLoop, Window
from tritonseg_engines.load_test.result import LoadResult, StepTimes
from tritonseg_engines.load_test.tester import LoadTester, find_load_tester

__all__ = [
    "ClosedLoop",
    "Load",
    "LoadResult",
    "LoadTarget",
    "LoadTester",
    "OpenLoop",
    "StepTimes",
    "Window",
    "find_load_tester",
]
