"""Our own loader, for machines on which perf_analyzer does not run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Final

from tritonseg_engines.errors import LoadTestError
from tritonseg_engines.load_test.load import Load, LoadTarget, Window
from tritonseg_engines.load_test.plan import Plan, result_from_line, write_plan
from tritonseg_engines.load_test.process import ended
from tritonseg_engines.load_test.requests import PreparedRequest, prepare_requests
from tritonseg_engines.load_test.result import LoadResult

DEFAULT_WINDOW: Final = Window()
LEAST_DEADLINE_S: Final = 5.0
BUDGETS_A_DEADLINE: Final = 10
"""An answer this late is no goodput, and waiting longer would only fill memory under overload."""
SLACK_S: Final = 60.0
"""For the process to start, to send every picture once, and to end."""
MS_PER_S: Final = 1000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltInLoader:
    """Sends prepared requests over gRPC, from a process of its own.

    In an open loop no request is ever left out or put off because others are not answered, and
    latency begins when a request was due: a server that falls behind cannot hide it. In a closed
    loop a caller that is refused waits 10 ms. Every answer must have a mask of the picture's size
    and come from the same build of the model, or counts as failed. Counts within the latency budget
    are exact.

    Attributes:
        seed: Of the arrivals of an open loop, which are the same every time.
        deadline_s: Seconds after which a request has failed; None for ten times the latency budget,
            and 5 at least.
    """

    seed: int = 0
    deadline_s: float | None = None

    @property
    def name(self) -> str:
        """What `LoadResult.measured_by` says."""
        return "built-in"

    def measure(
        self,
        target: LoadTarget,
        load: Load,
        *,
        latency_budget_ms: float,
        window: Window = DEFAULT_WINDOW,
    ) -> LoadResult:
        """Put the target under this load and return what came of it.

        Before there is any load, each picture is sent once.

        Raises:
            LoadTestError: The server does not answer one of the pictures, or the loader's process
                did not end as it should.
            InvalidImageError: A picture that a client would refuse.
        """
        plan = Plan(
            url=target.url,
            model=target.model,
            load=load,
            latency_budget_ms=latency_budget_ms,
            window=window,
            deadline_s=self._deadline_s(latency_budget_ms),
            seed=self.seed,
        )
        line = _sent(plan, prepare_requests(target))
        if b'"error"' in line[:10]:
            raise LoadTestError(json.loads(line)["error"])
        return result_from_line(line, load)

    def _deadline_s(self, latency_budget_ms: float) -> float:
        if self.deadline_s is not None:
            return self.deadline_s
        return max(LEAST_DEADLINE_S, BUDGETS_A_DEADLINE * latency_budget_ms / MS_PER_S)


def _sent(plan: Plan, requests: list[PreparedRequest]) -> bytes:
    """Return the line of a process that was given the plan."""
    with tempfile.TemporaryFile() as planned, tempfile.TemporaryFile() as errors:
        write_plan(plan, requests, planned)
        planned.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", "tritonseg_engines.load_test.sender"],
            stdin=planned,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # so that Ctrl-C reaches us alone, and we end it
        )
        tries_s = len(requests) * plan.deadline_s
        line = ended(
            process, "the built-in loader", within_s=plan.window.most_s + tries_s + SLACK_S
        )
        if process.returncode != 0 or not line.endswith(b"\n"):
            errors.seek(0)
            last = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise LoadTestError(
                f"the built-in loader ended with {process.returncode}: {last or 'without a word'}"
            )
        return line
