"""What every step has in common: its parameters, its contract check, and how it fails.

A caller must never see a traceback or a path of the server, so whatever goes wrong inside a step
is written to the server's log and answered with a fixed text. This module imports
`triton_python_backend_utils`, which exists only inside Triton's Python backend.
"""

from __future__ import annotations

import abc
import json
import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from tritonseg_steps.contract import CONTRACT_PARAMETER, CONTRACT_VERSION
from tritonseg_steps.cores import limit_numba, thread_limit
from tritonseg_steps.cuda.device import CupyDevice, DeviceArray

Arrays = dict[str, NDArray[Any] | DeviceArray]
"""Tensors by name, each with a leading batch axis; in host memory or in a GPU's."""


class InputError(ValueError):
    """A request that this step cannot answer; its text is meant for the caller."""


class NetworkError(RuntimeError):
    """An answer of the network that means nothing; its text is meant for the caller."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRequest:
    """What a step is to answer.

    Attributes:
        tensors: By name, each with a leading batch axis; optional ones may be missing.
        parameters: Of the request, as the caller of the ensemble set them.
    """

    tensors: Arrays
    parameters: Mapping[str, Any]

    @classmethod
    def received(
        cls, request: Any, device: CupyDevice | None = None, on_device: Collection[str] = ()
    ) -> StepRequest:
        """Read Triton's own `InferenceRequest`; arrays look into its memory.

        Args:
            request: Of the Python backend.
            device: The step's GPU.
            on_device: Names of the inputs that the step takes in that GPU's memory.
        """
        tensors = {
            tensor.name(): device.take(tensor)
            if device is not None and tensor.name() in on_device
            else tensor.as_numpy()
            for tensor in request.inputs()
        }
        return cls(tensors=tensors, parameters=json.loads(request.parameters() or "{}"))

    def asks_for(self, parameter: str) -> bool:
        """Return whether the caller set a boolean parameter.

        Raises:
            InputError: It is something else than true or false.
        """
        value = self.parameters.get(parameter, False)
        if not isinstance(value, bool):
            raise InputError(
                f"request parameter {parameter!r}: expected true or false, got {value!r}"
            )
        return value


class ModelConfig:
    """The part of a step's config.pbtxt that steps read.

    Args:
        arguments: What Triton passes to `initialize`.
    """

    def __init__(self, arguments: Mapping[str, str]) -> None:
        self._config = json.loads(arguments["model_config"])
        self.name: str = self._config["name"]
        self.directory = f"{arguments['model_repository']}/{arguments['model_version']}"
        on_gpu = arguments["model_instance_kind"] == "GPU"
        self.gpu = int(arguments["model_instance_device_id"]) if on_gpu else None
        version = self.parameter(CONTRACT_PARAMETER)
        if version != CONTRACT_VERSION:
            raise RuntimeError(
                f"{self.name}: this model was built for tritonseg contract {version!r}, the "
                f"installed tritonseg_steps speaks {CONTRACT_VERSION!r}. Build the model again "
                "with the installed version, or install the version it was built with."
            )

    def parameter(self, key: str) -> Any:
        """Return the JSON value of one parameter.

        Raises:
            RuntimeError: It is not there.
        """
        try:
            return json.loads(self._config["parameters"][key]["string_value"])
        except KeyError:
            raise RuntimeError(
                f"{self.name}: config.pbtxt lacks the parameter {key!r}; was it written by "
                "`tritonseg build`?"
            ) from None

    @property
    def thread_limit(self) -> int | None:
        """How many threads one instance should run at most; None for as many as it sees."""
        return thread_limit(sum(group["count"] for group in self._config["instance_group"]))

    def has_output(self, tensor: str) -> bool:
        """Return whether the config declares an output."""
        return any(entry["name"] == tensor for entry in self._config["output"])

    def output_dims(self, tensor: str) -> tuple[int, ...]:
        """Return the dimensions of an output as the config declares them, -1 where open."""
        (output,) = (entry for entry in self._config["output"] if entry["name"] == tensor)
        return tuple(int(dim) for dim in output["dims"])


class Step(abc.ABC):
    """A Python-backend model; Triton calls `initialize` once, then `execute`."""

    name = "step"
    device: CupyDevice | None = None
    on_device: ClassVar[frozenset[str]] = frozenset()
    """Inputs that a step on a GPU takes in its memory; FORCE_CPU_ONLY_INPUT_TENSORS is "no"."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read the config and prepare; an exception here keeps the server from becoming ready."""
        config = ModelConfig(args)
        self.name = config.name
        if config.gpu is not None:
            self.device = CupyDevice(config.gpu)
        if config.thread_limit is not None:
            limit_numba(config.thread_limit)
        self.prepare(config)

    @abc.abstractmethod
    def prepare(self, config: ModelConfig) -> None:
        """Set up everything that does not depend on a request."""

    @abc.abstractmethod
    def run(self, requests: Sequence[StepRequest]) -> list[Arrays]:
        """Answer every request, in their order; an output left out is not delivered.

        Raises:
            InputError: A request cannot be answered; the text reaches the caller.
            NetworkError: What the network gave is no answer; the text reaches the caller.
        """

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer every request with tensors or an error, never with an exception."""
        return self._answers(requests, copied=False)

    def _answers(self, requests: Sequence[Any], *, copied: bool) -> list[Any]:
        try:
            return self._respond(requests, copied=copied)
        except Exception as error:  # noqa: BLE001 - the boundary to the server
            if len(requests) == 1:
                return [self._failure(error)]
        # One bad request must not fail those it happened to be batched with.
        return [self._answers([request], copied=True)[0] for request in requests]

    def _respond(self, requests: Sequence[Any], *, copied: bool) -> list[Any]:
        """Return the responses; `copied` where `run` is called again before they are sent.

        What a run returns may lie in memory that the next run overwrites.
        """
        return [
            pb_utils.InferenceResponse(
                [_tensor(name, array, copied=copied) for name, array in outputs.items()]
            )
            for outputs in self.run(
                [StepRequest.received(one, self.device, self.on_device) for one in requests]
            )
        ]

    def _failure(self, error: Exception) -> Any:
        if isinstance(error, InputError):
            text, code = f"{self.name}: {error}", pb_utils.TritonError.INVALID_ARG
        elif isinstance(error, NetworkError):
            pb_utils.Logger.log_error(f"{self.name}: {error}")
            text, code = f"{self.name}: {error}", pb_utils.TritonError.INTERNAL
        else:
            pb_utils.Logger.log_error(f"{self.name}: {traceback.format_exc()}")
            text = f"{self.name}: internal error; the server's log has the details"
            code = pb_utils.TritonError.INTERNAL
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))


def _tensor(name: str, array: NDArray[Any] | DeviceArray, *, copied: bool) -> Any:
    if isinstance(array, np.ndarray):
        whole = np.array(array, order="C") if copied else np.ascontiguousarray(array)
        return pb_utils.Tensor(name, whole)
    return pb_utils.Tensor.from_dlpack(name, array)
