"""Which step holds the others up, from Triton's own count of their times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tritonseg_engines.load_test.result import LoadResult, StepTimes
from tritonseg_engines.tuning.candidate import Candidate
from tritonseg_engines.tuning.configs import Folders
from tritonseg_steps.contract import QUEUE_PARAMETER

HARDLY_MS: Final = 1.0
"""Waiting that is no queue: what handing over takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepLoad:
    """One step under load.

    Attributes:
        setting: The setting that multiplies it, a name of `Settings`.
        times: As Triton counted them.
        instances: How many there are.
        busy: Share of the time for which each computed, 0 to 1.
    """

    setting: str
    times: StepTimes
    instances: int
    busy: float

    @property
    def waited_ms(self) -> float:
        """How long requests queue for it; 0 where they hardly do."""
        return self.times.queue_ms if self.times.queue_ms > HARDLY_MS else 0.0

    @property
    def queue_to_compute(self) -> float:
        """Waiting over computing; above 1, requests wait longer than they are worked on."""
        compute = self.times.input_ms + self.times.infer_ms + self.times.output_ms
        return self.times.queue_ms / compute if compute else 0.0


def step_loads(candidate: Candidate, result: LoadResult) -> list[StepLoad]:
    """Return the load of every step that runs something, in the order of a request.

    None where the only step keeps a line of its own: Triton counts neither its waiting nor its
    computing then.
    """
    if keeps_to_itself(candidate):
        return []
    folders = Folders.of(candidate.variant.model, candidate.variant.configs)
    by_model = {step.model: step for step in result.steps}
    settings = {
        folders.normalize: "normalize_instances",
        folders.engine: "engine_instances",
        folders.argmax: "argmax_instances",
    }
    return [
        _load(settings[folder], by_model[folder], candidate, result)
        for folder in folders.steps
        if folder in by_model
    ]


def keeps_to_itself(candidate: Candidate) -> bool:
    """Whether Triton does not see where the time of a model without steps goes."""
    config = candidate.variant.configs[candidate.variant.model]
    return candidate.variant.layout != "ensemble" and QUEUE_PARAMETER in config.parameters


def unseen_ms(result: LoadResult, loads: list[StepLoad]) -> float:
    """Return what no step counts of a request: the line in the first, and the way."""
    counted = (load.times for load in loads)
    steps_ms = sum(
        times.queue_ms + times.input_ms + times.infer_ms + times.output_ms for times in counted
    )
    return max(0.0, result.mean_ms - steps_ms)


def bottleneck(loads: list[StepLoad]) -> StepLoad:
    """Return the step that requests wait for longest; the busiest where they hardly wait."""
    return max(loads, key=lambda load: (load.waited_ms, load.busy))


def in_words(load: StepLoad, result: LoadResult, *, cores: int, on_cpu: bool) -> str:
    """Return the bottleneck as one sentence."""
    step, share = load.times, load.times.queue_ms / result.mean_ms if result.mean_ms else 0.0
    if not load.waited_ms:
        return f"nothing queues: {step.model} is the busiest, {load.busy:.0%} of the time"
    waits = (
        f"{step.model} queues: requests wait {step.queue_ms:.1f} ms for it, {share:.0%} of their "
        f"time, and it is busy {load.busy:.0%} of the time"
    )
    if on_cpu and load.instances >= cores:
        return f"{waits}; it has a process a core already"
    return f"{waits}, with {load.setting.replace('_', ' ')} at {load.instances}"


def _load(setting: str, step: StepTimes, candidate: Candidate, result: LoadResult) -> StepLoad:
    instances = getattr(candidate.settings, setting)
    computed_ms = step.executions * (step.input_ms + step.infer_ms + step.output_ms)
    # The means are a request's, and a batch's requests share its execution.
    busy = computed_ms / (1000 * result.duration_s * instances) if result.duration_s else 0.0
    return StepLoad(setting=setting, times=step, instances=instances, busy=min(1.0, busy))
