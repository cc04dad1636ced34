"""What a call does, one step after the other, without any I/O: a transport makes each step.

A flow is a generator. It yields steps, gets what comes of each, and has raised in it what a step
raises. `GrpcTransport` makes the steps in the calling thread and `AioTransport` in asyncio, so that
both clients do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from .._errors import ServerError

_T = TypeVar("_T")


class Lock(Protocol):
    """A `threading.Lock` or an `asyncio.Lock`."""

    def release(self) -> None:
        """Let the next one in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """Send a request; comes to its response.

    Attributes:
        method: Of Triton's inference service, as "ModelInfer".
        request: Its message.
        timeout_s: Seconds within which the response must have come.
        subject: What is called, to begin messages with.
        refusal: The error that stands for a server answering UNAVAILABLE to this kind of call.
        headers: Sent with this request, beside the client's.
    """

    method: str
    request: Any
    timeout_s: float
    subject: str
    refusal: type[ServerError]
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Wait, unless the client is closed meanwhile."""

    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """Call a function that keeps a core busy; comes to what it returns."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enter:
    """Acquire a lock; comes to whether that was in time. The flow releases it."""

    lock: Lock
    timeout_s: float


Step: TypeAlias = Rpc | Pause | Compute | Enter
Flow: TypeAlias = Generator[Step, Any, _T]
