"""What every step has in common: its parameters, its contract check, and how it fails.

A caller must never see a traceback or a path of the server, so whatever goes wrong inside a step
is written to the server's log and answered with a fixed text. This module imports
`triton_python_backend_utils`, which exists only inside Triton's Python backend.
"""

from __future__ import annotations

import abc
import json
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from tritonseg_steps.contract import CONTRACT_PARAMETER, CONTRACT_VERSION

Arrays = dict[str, NDArray[Any]]


class InputError(ValueError):
    """A request that this step cannot answer; its text is meant for the caller."""


class ModelConfig:
    """The part of a step's config.pbtxt that steps read.

    Args:
        arguments: What Triton passes to `initialize`.
    """

    def __init__(self, arguments: Mapping[str, str]) -> None:
        self._config = json.loads(arguments["model_config"])
        self.name: str = self._config["name"]
        self.directory = f"{arguments['model_repository']}/{arguments['model_version']}"
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

    def output_dims(self, tensor: str) -> tuple[int, ...]:
        """Return the dimensions of an output as the config declares them, -1 where open."""
        (output,) = (entry for entry in self._config["output"] if entry["name"] == tensor)
        return tuple(int(dim) for dim in output["dims"])


class Step(abc.ABC):
    """A Python-backend model; Triton calls `initialize` once, then `execute`."""

    name = "step"
    inputs: tuple[str, ...] = ()

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read the config and prepare; an exception here keeps the server from becoming ready."""
        config = ModelConfig(args)
        self.name = config.name
        self.prepare(config)

    @abc.abstractmethod
    def prepare(self, config: ModelConfig) -> None:
        """Set up everything that does not depend on a request."""

    @abc.abstractmethod
    def run(self, batches: Sequence[Arrays]) -> list[Arrays]:
        """Answer requests, each a mapping of input name to array with a leading batch axis.

        Raises:
            InputError: A request cannot be answered; the text reaches the caller.
        """

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer every request with tensors or an error, never with an exception."""
        try:
            return self._respond(requests)
        except Exception as error:  # noqa: BLE001 - the boundary to the server
            if len(requests) == 1:
                return [self._failure(error)]
        # One bad request must not fail those it happened to be batched with.
        return [self.execute([request])[0] for request in requests]

    def _respond(self, requests: Sequence[Any]) -> list[Any]:
        batches = [self._arrays(request) for request in requests]
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor(name, np.ascontiguousarray(array)) for name, array in out.items()]
            )
            for out in self.run(batches)
        ]

    def _arrays(self, request: Any) -> Arrays:
        return {
            name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            for name in self.inputs
        }

    def _failure(self, error: Exception) -> Any:
        if isinstance(error, InputError):
            text, code = f"{self.name}: {error}", pb_utils.TritonError.INVALID_ARG
        else:
            pb_utils.Logger.log_error(f"{self.name}: {traceback.format_exc()}")
            text = f"{self.name}: internal error; the server's log has the details"
            code = pb_utils.TritonError.INTERNAL
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))
