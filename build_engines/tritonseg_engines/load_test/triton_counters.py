"""What Triton counts for a model and its steps, and the difference of two such counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tritonseg_engines.load_test.result import StepTimes

CALL_TIMEOUT_S: Final = 5.0
NS_PER_MS: Final = 1e6
_PARTS: Final = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True, kw_only=True, slots=True)
class Counters:
    """One model's counters since it was loaded, over all its versions.

    Source: the statistics extension of Triton's protocol, ModelStatistics.
    """

    executions: int
    pictures: int
    requests: int
    elapsed_ns: Mapping[str, int]


Counted = Mapping[str, Counters]
"""By model: the one that was asked first, then its steps."""


class CounterReader:
    """Reads the counters of a model and of the steps of its ensemble.

    Attributes:
        models: The model's name, then its steps' in their order.

    Raises:
        grpc.RpcError: The model's config cannot be read.
    """

    def __init__(self, channel: grpc.Channel, model: str) -> None:
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answer: Any = self._stub.ModelConfig(
            service_pb2.ModelConfigRequest(name=model), timeout=CALL_TIMEOUT_S
        )
        steps = answer.config.ensemble_scheduling.step
        self.models = tuple(dict.fromkeys((model, *(step.model_name for step in steps))))

    def read(self) -> Counted:
        """Return the counters of now.

        Raises:
            grpc.RpcError: They cannot be read.
        """
        return {model: self._counters(model) for model in self.models}

    def _counters(self, model: str) -> Counters:
        answer: Any = self._stub.ModelStatistics(
            service_pb2.ModelStatisticsRequest(name=model), timeout=CALL_TIMEOUT_S
        )
        versions = answer.model_stats
        return Counters(
            executions=sum(version.execution_count for version in versions),
            pictures=sum(version.inference_count for version in versions),
            requests=sum(version.inference_stats.success.count for version in versions),
            elapsed_ns={
                part: sum(getattr(version.inference_stats, part).ns for version in versions)
                for part in _PARTS
            },
        )


def step_times(before: Counted, after: Counted) -> tuple[StepTimes, ...]:
    """Return each model's means for the requests that were answered between two counts."""
    return tuple(_step_times(model, before[model], after[model]) for model in after)


def _step_times(model: str, before: Counters, after: Counters) -> StepTimes:
    requests = after.requests - before.requests
    mean_ms = {
        part: (after.elapsed_ns[part] - before.elapsed_ns[part]) / requests / NS_PER_MS
        if requests
        else 0.0
        for part in _PARTS
    }
    return StepTimes(
        model=model,
        executions=after.executions - before.executions,
        pictures=after.pictures - before.pictures,
        queue_ms=mean_ms["queue"],
        input_ms=mean_ms["compute_input"],
        infer_ms=mean_ms["compute_infer"],
        output_ms=mean_ms["compute_output"],
    )
