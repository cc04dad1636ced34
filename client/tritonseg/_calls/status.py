"""A gRPC status as one of this package's errors.

The status alone decides the behaviour: only UNAVAILABLE is retryable. Texts are looked at where
one status stands for several things. For RESOURCE_EXHAUSTED they choose between two errors that are
not retried; for NOT_FOUND between a model that is not there and one that is not loaded now; for
UNAVAILABLE between some that are retried alike and one that is not, because Triton says that, too,
where an API is closed to who does not send the right header.
"""

from __future__ import annotations

import re
from typing import Final

import grpc

from .._errors import (
    AccessDeniedError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    InferenceFailedError,
    MessageTooLargeError,
    ModelNotFoundError,
    ModelNotReadyError,
    OverloadedError,
    ProtocolError,
    RequestRejectedError,
    SegmentationError,
    ServerError,
)

_Status: Final = grpc.StatusCode

_ERRORS: Final[dict[grpc.StatusCode, tuple[type[SegmentationError], str]]] = {
    _Status.DEADLINE_EXCEEDED: (DeadlineExceededError, "no answer within timeout_s"),
    _Status.CANCELLED: (ConnectionLostError, "the call was cancelled on its way"),
    _Status.UNIMPLEMENTED: (ProtocolError, "something other than Triton answers"),
    _Status.NOT_FOUND: (ModelNotFoundError, "the server has no such model to serve"),
    _Status.INVALID_ARGUMENT: (RequestRejectedError, "the server rejects the request"),
    _Status.OUT_OF_RANGE: (RequestRejectedError, "the server rejects the request"),
    _Status.FAILED_PRECONDITION: (RequestRejectedError, "the server rejects the request"),
    _Status.UNAUTHENTICATED: (AccessDeniedError, "the server asks for credentials"),
    _Status.PERMISSION_DENIED: (AccessDeniedError, "the server denies access"),
}

# What gRPC itself reports in this process; whatever else comes with UNAVAILABLE is the server's.
_NOT_CONNECTED: Final = re.compile(
    r"failed to connect|connections to all backends failing|errors resolving|resolution failed"
    r"|empty address list|http1\.x",
    re.I,
)
_CONNECTION_LOST: Final = re.compile(
    r"stream removed|socket closed|connection reset|connection timed out|broken pipe|goaway"
    r"|ping timeout|too many pings|keepalive|endpoint clos|transport clos|recvmsg",
    re.I,
)
# What Triton says of a model that it knows and has not loaded, or has unloaded to end.
_NOT_LOADED: Final = "has no available versions"
_NOT_READY: Final = "is not at ready state"
# Source: RestrictedFeatures in triton-inference-server/server, src/grpc/grpc_utils.cc, and what
# Triton 2.51 answers.
_RESTRICTED: Final = re.compile("this protocol is restricted", re.I)
_OVERSIZE: Final = "larger than max"
# What gRPC says in this process of bytes that are no message of Triton's; `grpc.aio` has None then.
_UNREADABLE: Final = "Exception deserializing response!"

_PATH: Final = re.compile(r"""[^\s'"()\[\]{},;]*[\\/][^\s'"()\[\]{},;]*""")
_REQUEST_PREFIX: Final = re.compile(r"^\[request id: [^\]]*\] ")
_MAX_SUMMARY_CHARS: Final = 300


def error_from_rpc(
    rpc_error: grpc.RpcError, *, subject: str, refusal: type[ServerError]
) -> SegmentationError:
    """Return the error to raise for a failed call.

    Args:
        rpc_error: What the gRPC stub raised.
        subject: What was called, to begin the message with.
        refusal: The error that stands for a server answering UNAVAILABLE to this kind of call.
    """
    status, details = rpc_error.code(), rpc_error.details() or ""
    if status is _Status.INTERNAL and details == _UNREADABLE:
        return unreadable_answer(subject)
    if status is _Status.UNAVAILABLE:
        kind, text = _explain_unavailable(details, refusal)
    elif status is _Status.RESOURCE_EXHAUSTED:
        kind, text = _explain_exhausted(details)
    elif status is _Status.NOT_FOUND and _NOT_LOADED in details:
        kind, text = ModelNotReadyError, "the server has the model, but not loaded now"
    else:
        kind, text = _ERRORS.get(status, (InferenceFailedError, "the server failed"))
    summary = summarize(details)
    return kind(
        f"{subject}: {text}" + (f": {summary}" if summary else ""),
        retryable=kind is ModelNotReadyError
        or (status is _Status.UNAVAILABLE and kind is not AccessDeniedError),
        debug_details=f"{status}: {details}",
    )


def unreadable_answer(subject: str) -> ProtocolError:
    """Return the error to raise for an answer that is no message of Triton's.

    Args:
        subject: What was called, to begin the message with.
    """
    return ProtocolError(
        f"{subject}: the answer cannot be read; something between client and server spoils it, or "
        "something other than Triton answers"
    )


def summarize(details: str) -> str:
    """Return the first line of a server's message, without paths and traceback.

    Python models on Triton answer exceptions with the traceback and their files' paths.
    """
    text = _REQUEST_PREFIX.sub("", details.partition("Traceback")[0])
    line = text.strip().partition("\n")[0]
    line = "".join(char if char.isprintable() else " " for char in line)
    line = _PATH.sub("<path>", line)
    return line if len(line) <= _MAX_SUMMARY_CHARS else line[: _MAX_SUMMARY_CHARS - 1] + "…"


def _explain_unavailable(
    details: str, refusal: type[ServerError]
) -> tuple[type[SegmentationError], str]:
    if _NOT_CONNECTED.search(details):
        return ConnectError, "no connection (is the server running, and is this its gRPC port?)"
    if _CONNECTION_LOST.search(details):
        return ConnectionLostError, "the connection broke"
    if _NOT_READY in details:
        return ModelNotReadyError, "the server has the model, but not loaded now"
    if _RESTRICTED.search(details):
        return AccessDeniedError, "the server answers this only to who sends a header (`headers=`)"
    return refusal, "the server cannot take the request now"


def _explain_exhausted(details: str) -> tuple[type[SegmentationError], str]:
    if _OVERSIZE in details:
        return MessageTooLargeError, "the message is too large"
    return OverloadedError, "the server is out of some resource"
