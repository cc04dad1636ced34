"""What a step reads of its own config.pbtxt."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from tritonseg_steps.admission import Admission
from tritonseg_steps.contract import (
    CONTRACT_PARAMETER,
    CONTRACT_VERSION,
    IN_FLIGHT_PARAMETER,
    QUEUE_PARAMETER,
    QUEUE_TIME_PARAMETER,
    THREADS_PARAMETER,
    parameters_of,
)
from tritonseg_steps.cores import thread_limit
from tritonseg_steps.validation import positive_int


class ModelConfig:
    """The part of a step's config.pbtxt that steps read.

    Args:
        arguments: What Triton passes to `initialize`.
    """

    def __init__(self, arguments: Mapping[str, str]) -> None:
        self._config = json.loads(arguments["model_config"])
        self.name: str = self._config["name"]
        self.version: str = arguments["model_version"]
        self.directory = f"{arguments['model_repository']}/{self.version}"
        entries = self._config.get("parameters", {}).items()
        texts = {key: entry["string_value"] for key, entry in entries}
        self._parameters = parameters_of(texts, self.version)
        on_gpu = arguments["model_instance_kind"] == "GPU"
        self.gpu = int(arguments["model_instance_device_id"]) if on_gpu else None
        built_for = self.parameter(CONTRACT_PARAMETER)
        if built_for != CONTRACT_VERSION:
            raise RuntimeError(
                f"{self.name}: this model was built for tritonseg contract {built_for!r}, the "
                f"installed tritonseg_steps speaks {CONTRACT_VERSION!r}. Build the model again "
                "with the installed version, or install the version it was built with."
            )

    def parameter(self, key: str) -> Any:
        """Return the JSON value of one parameter.

        Raises:
            RuntimeError: It is not there, or no JSON.
        """
        try:
            return json.loads(self._parameters[key])
        except json.JSONDecodeError:
            raise RuntimeError(
                f"{self.name}: config.pbtxt: {key}: expected a JSON value, got "
                f"{self._parameters[key]!r}"
            ) from None
        except KeyError:
            raise RuntimeError(
                f"{self.name}: config.pbtxt lacks the parameter {key!r}; was it written by "
                "`tritonseg build`?"
            ) from None

    def optional(self, key: str, default: Any = None) -> Any:
        """Return the JSON value of a parameter that need not be there."""
        return self.parameter(key) if key in self._parameters else default

    @property
    def keeps_gpu_inputs(self) -> bool:
        """Whether Triton leaves inputs in the GPU's memory instead of copying them to the host.

        Source: python_backend README, "Input Tensor Device Placement"; only "no" does it.
        """
        entry = self._config.get("parameters", {}).get("FORCE_CPU_ONLY_INPUT_TENSORS", {})
        return bool(entry.get("string_value") == "no")

    @property
    def max_batch_size(self) -> int:
        """Most pictures that Triton lets into one execution."""
        return int(self._config["max_batch_size"])

    @property
    def thread_limit(self) -> int | None:
        """How many threads one instance should run at most; None for as many as it sees.

        Raises:
            ValueError: The parameter holds something else than documented.
        """
        return self._positive(THREADS_PARAMETER) or thread_limit(self._instances)

    @property
    def _instances(self) -> int:
        return sum(group["count"] for group in self._config["instance_group"])

    @property
    def admission(self) -> Admission | None:
        """Who may wait in one instance; None where Triton keeps all.

        Raises:
            ValueError: A parameter holds something else than documented.
            RuntimeError: This is an instance on a GPU, whose answers are not made by one thread.
        """
        limit = self._positive(QUEUE_PARAMETER)
        time_ms = self._positive(QUEUE_TIME_PARAMETER)
        if limit is None:
            return None
        if self.gpu is not None:
            raise RuntimeError(f"{self.name}: {QUEUE_PARAMETER!r} is for steps on the CPU")
        return Admission(
            math.ceil(limit / self._instances), None if time_ms is None else time_ms / 1000
        )

    @property
    def in_flight(self) -> int | None:
        """How many requests may be behind this step; None for what its ensemble's others can take.

        Raises:
            ValueError: The parameter holds something else than documented.
        """
        return self._positive(IN_FLIGHT_PARAMETER)

    def _positive(self, key: str) -> int | None:
        value = self.optional(key)
        return None if value is None else positive_int(key, value)

    @property
    def warm_ups(self) -> int:
        """How many executions Triton makes of its own before the model is ready.

        Source: `ModelWarmup` in common/protobuf/model_config.proto; a count of 0 stands for 1.
        """
        samples = self._config.get("model_warmup", ())
        return sum(max(1, int(sample.get("count", 0))) for sample in samples)

    @property
    def outputs(self) -> frozenset[str]:
        """Names of all outputs that the config declares."""
        return frozenset(entry["name"] for entry in self._config["output"])

    def input_dims(self, tensor: str) -> tuple[int, ...]:
        """Return the dimensions of an input as the config declares them; empty if it does not."""
        entries = (entry for entry in self._config["input"] if entry["name"] == tensor)
        return tuple(int(dim) for entry in entries for dim in entry["dims"])

    def output_dims(self, tensor: str) -> tuple[int, ...]:
        """Return the dimensions of an output as the config declares them, -1 where open."""
        (output,) = (entry for entry in self._config["output"] if entry["name"] == tensor)
        return tuple(int(dim) for dim in output["dims"])
