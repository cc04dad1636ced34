"""Where the time of a request goes, step by step, as Triton itself counts it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import tritonclient.grpc as triton

CALL_TIMEOUT_S = 5.0
COUNTING_TIMEOUT_S = 1.0
COUNTING_INTERVAL_S = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class StepLatency:
    """Mean milliseconds of one model over the requests counted.

    Attributes:
        model: Name of the ensemble or of a step, or of a fused model.
        requests: How many were counted.
        queue_ms: Waiting for an instance.
        input_ms: Receiving the tensors.
        infer_ms: Computing; for the ensemble, the sum over its steps.
        output_ms: Handing the tensors on.
        total_ms: From arrival to answer.
    """

    model: str
    requests: int
    queue_ms: float
    input_ms: float
    infer_ms: float
    output_ms: float
    total_ms: float


_Counters = dict[str, tuple[int, int]]
_FIELDS = ("success", "queue", "compute_input", "compute_infer", "compute_output")


class LatencyProbe:
    """Counts the requests between its making and `latencies()`.

    Example:
        probe = LatencyProbe("localhost:8001", "street-demo")
        client.segment(image)
        ensemble, normalize, engine, argmax = probe.latencies()
    """

    def __init__(self, url: str, model: str) -> None:
        self._client = triton.InferenceServerClient(url)
        self._models = (model, *self._steps(model))
        self._before = {name: self._counters(name) for name in self._models}

    def latencies(self) -> list[StepLatency]:
        """Return the ensemble's and then each step's mean since the probe was made.

        A fused model has no steps, and only its own is returned.
        """
        # Triton answers first and counts then, the ensemble last.
        deadline = time.monotonic() + COUNTING_TIMEOUT_S
        latencies = self._counted()
        while time.monotonic() < deadline:
            time.sleep(COUNTING_INTERVAL_S)
            before, latencies = latencies, self._counted()
            if latencies == before and latencies[0].requests >= latencies[-1].requests:
                break
        return latencies

    def _counted(self) -> list[StepLatency]:
        return [self._latency(name) for name in self._models]

    def _steps(self, model: str) -> list[str]:
        config: Any = self._client.get_model_config(model, client_timeout=CALL_TIMEOUT_S).config
        return [step.model_name for step in config.ensemble_scheduling.step]

    def _latency(self, name: str) -> StepLatency:
        after, before = self._counters(name), self._before[name]
        mean_ms = {}
        for field in _FIELDS:
            count = after[field][0] - before[field][0]
            elapsed_ns = after[field][1] - before[field][1]
            mean_ms[field] = elapsed_ns / count / 1e6 if count else 0.0
        return StepLatency(
            model=name,
            requests=after["success"][0] - before["success"][0],
            queue_ms=mean_ms["queue"],
            input_ms=mean_ms["compute_input"],
            infer_ms=mean_ms["compute_infer"],
            output_ms=mean_ms["compute_output"],
            total_ms=mean_ms["success"],
        )

    def _counters(self, name: str) -> _Counters:
        statistics: Any = self._client.get_inference_statistics(name, client_timeout=CALL_TIMEOUT_S)
        inference = statistics.model_stats[0].inference_stats
        return {
            field: (getattr(inference, field).count, getattr(inference, field).ns)
            for field in _FIELDS
        }
