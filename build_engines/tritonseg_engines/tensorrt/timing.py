"""How fast a plan is by the GPU's own clock, without anything around it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.tensorrt.loaded_plan import LoadedPlan

WARM_UP_RUNS: Final = 10
"""The first runs load kernels and raise the clocks."""
MINIMUM_RUNS: Final = 10
MAXIMUM_RUNS: Final = 500
BUDGET_S: Final = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanTiming:
    """What one batch size costs.

    Attributes:
        batch: Pictures at once.
        runs: How many were measured, once one by one and once back to back.
        latency_ms: Median time on the GPU of a run by itself.
        pictures_per_s: Runs back to back on one stream.
    """

    batch: int
    runs: int
    latency_ms: float
    pictures_per_s: float


def time_plan(plan: LoadedPlan, batch: int, *, budget_s: float = BUDGET_S) -> PlanTiming:
    """Measure a plan between CUDA events, at the image size that its kernels were chosen for.

    Copies to and from the GPU are not in it, and neither are CUDA graphs, which Triton uses only
    where its configuration says so.

    Args:
        plan: Loaded.
        batch: Pictures at once, within the profile.
        budget_s: Seconds that each of the two series may take, within 10 and 500 runs.

    Raises:
        PlanInputError: The plan does not take such a batch.
        TensorRTError: It could not be run.
    """
    tensors = plan.tensors
    plan.put(_noise((batch, *tensors.profile.optimum[1:]), tensors.input.dtype))
    plan.elapsed_ms(WARM_UP_RUNS)
    one_ms = plan.elapsed_ms()
    runs = _runs(one_ms, budget_s)
    latency_ms = statistics.median(plan.elapsed_ms() for _ in range(runs))
    together_ms = plan.elapsed_ms(runs)
    return PlanTiming(
        batch=batch,
        runs=runs,
        latency_ms=latency_ms,
        pictures_per_s=1000 * batch * runs / together_ms,
    )


def _runs(one_ms: float, budget_s: float) -> int:
    wanted = 1000 * budget_s / max(one_ms, 1e-3)
    return int(min(max(wanted, MINIMUM_RUNS), MAXIMUM_RUNS))


def _noise(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return something like a normalised picture; zeros would spare the GPU power, hence time."""
    rng = np.random.default_rng(0)
    if dtype.kind == "f":
        return rng.standard_normal(shape, np.float32).astype(dtype)
    return rng.integers(0, 128, shape).astype(dtype)
