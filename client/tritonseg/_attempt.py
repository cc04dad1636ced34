"""What a client tells of one attempt of a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Purpose: TypeAlias = Literal["describe", "segment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of a call, and what came of it; what `on_attempt` is called with.

    Attributes:
        purpose: "segment" sent a picture, "describe" asked what the model is.
        model_name: The model that was asked.
        model_version: Its version; empty for the server's choice.
        request_id: Of the picture's request, in the server's log too; None without a picture.
        number: 1 for the first attempt.
        duration_s: Seconds from its beginning to its end.
        error: Why it failed, a cancellation's among them; None if it did not.
        retry_in_s: Seconds after which the next attempt follows; None if none does.
    """

    purpose: Purpose
    model_name: str
    model_version: str
    request_id: str | None
    number: int
    duration_s: float
    error: BaseException | None
    retry_in_s: float | None


AttemptHook: TypeAlias = Callable[[Attempt], object]
