"""What a step is asked, and how it says that it cannot answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
"""Tensors by name, each with a leading batch axis, in host memory."""
LONGEST_SHOWN = 80
"""Characters of what a request said, in an answer."""


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
        named_outputs: What the caller listed as outputs; empty where all are listed, which is also
            what Triton makes of no list, and what an ensemble asks of its steps.
    """

    tensors: Arrays
    parameters: Mapping[str, Any]
    named_outputs: frozenset[str] = frozenset()

    def copied(self) -> StepRequest:
        """Return the same with arrays of its own, in memory of this process."""
        return replace(self, tensors={name: array.copy() for name, array in self.tensors.items()})

    def asks_for(self, output: str, parameter: str) -> bool:
        """Return whether the caller named an output, or set its boolean parameter.

        Raises:
            InputError: The parameter is something else than true or false, or is false beside an
                output that is named.
        """
        value = self.parameters.get(parameter)
        if value is not None and not isinstance(value, bool):
            raise InputError(
                f"request parameter {parameter!r}: expected true or false, got {_shown(value)}"
            )
        named = output in self.named_outputs
        if named and value is False:
            raise InputError(
                f"request parameter {parameter!r}: expected true, or none, of a request that names "
                f"the output {output}, got false"
            )
        return named or bool(value)


def request_parameters(request: Any) -> dict[str, Any]:
    """Return the parameters of Triton's own `InferenceRequest`.

    Raises:
        InputError: They are not what JSON can say.
    """
    text = request.parameters() or "{}"
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise InputError(
            f"request parameters: expected what JSON can say, got {_shown(text)}"
        ) from error
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}... ({len(text)} long)"
