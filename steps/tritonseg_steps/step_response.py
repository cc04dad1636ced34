"""What a step sends back: tensors, or an error in words that are meant for the caller.

This module imports `triton_python_backend_utils`, which exists only inside Triton's Python backend.
"""

from __future__ import annotations

import traceback
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from tritonseg_steps.step_request import Arrays, InputError, NetworkError


class CancelledError(Exception):
    """Whoever asked has gone."""


def refuse_cancelled(asked: Any) -> None:
    """Raise for what nobody waits for: Triton's request, or the sender of its answer.

    Raises:
        CancelledError: Nobody does.
    """
    if asked.is_cancelled():
        raise CancelledError("cancelled while it waited")


def send(sender: Any, response: Any) -> None:
    """Send the only response of a request."""
    try:
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    except Exception:  # noqa: BLE001 - whoever asked is gone, and others wait
        pb_utils.Logger.log_error(f"an answer cannot be sent: {traceback.format_exc()}")


def failed_response(step: str, error: Exception) -> Any:
    """Return what tells the caller why; traceback and paths go to the log alone."""
    if isinstance(error, InputError):
        return _error(f"{step}: {error}", pb_utils.TritonError.INVALID_ARG)
    if isinstance(error, CancelledError):
        return _error(f"{step}: {error}", pb_utils.TritonError.CANCELLED)
    if isinstance(error, NetworkError):
        pb_utils.Logger.log_error(f"{step}: {error}")
        return _error(f"{step}: {error}", pb_utils.TritonError.INTERNAL)
    pb_utils.Logger.log_error(f"{step}: {traceback.format_exc()}")
    text = f"{step}: internal error; the server's log has the details"
    return _error(text, pb_utils.TritonError.INTERNAL)


def overload_response(step: str) -> Any:
    """Return what tells the caller that there is no place, and nothing was begun."""
    text = f"{step}: as many requests wait as may wait; try again later"
    return _error(text, pb_utils.TritonError.UNAVAILABLE)


def tensor_response(outputs: Arrays, *, copied: bool) -> Any:
    """Return the tensors of an answer.

    Args:
        outputs: By name.
        copied: Whether what they lie in is written again before they are sent.
    """
    return pb_utils.InferenceResponse(
        [_tensor(name, array, copied=copied) for name, array in outputs.items()]
    )


def _error(text: str, code: int) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))


def _tensor(name: str, array: NDArray[Any], *, copied: bool) -> Any:
    whole = np.array(array, order="C") if copied else np.ascontiguousarray(array)
    return pb_utils.Tensor(name, whole)
