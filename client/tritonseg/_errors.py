"""Every exception that this package raises.

    SegmentationError
    ├─ ConfigurationError (ValueError)      an argument that can never work
    ├─ InvalidImageError (ValueError)       the picture, not the service
    │  ├─ ImageDecodeError                  unreadable, unknown format, truncated, corrupt
    │  ├─ ImageTooLargeError                over `ImageLimits`
    │  └─ UnsupportedImageError             readable, but not what a mask can be computed for
    ├─ TransportError                       the way to the server
    │  ├─ ConnectError                      nothing answers at the address
    │  ├─ ConnectionLostError               the connection broke during the call
    │  ├─ DeadlineExceededError (TimeoutError)
    │  └─ MessageTooLargeError
    ├─ ServerError                          the server's own answer
    │  ├─ AccessDeniedError                 the server asks for a header or token, or another
    │  ├─ ModelNotFoundError
    │  ├─ ModelNotReadyError
    │  ├─ OverloadedError
    │  ├─ RequestRejectedError
    │  └─ InferenceFailedError
    ├─ ProtocolError                        an answer that breaks the contract
    └─ ClientClosedError (RuntimeError)

Which class a gRPC status becomes is decided in `_calls.status`.
"""

from __future__ import annotations


class SegmentationError(Exception):
    """Base of every exception of this package.

    The message never holds the server's paths or tracebacks; `debug_details` may.

    Attributes:
        retryable: Whether the same request may succeed if it is sent again after a pause. The
            client's own retries go by it.
        attempts: How often the failing request was sent; 0 if it never was.
        request_id: Identifier of the request in the server's log, if there was a request.
        model_name: The model that was called, if the error belongs to one.
        debug_details: The server's or gRPC's own words, unabridged, for logs.
    """

    def __init__(
        self, message: str, *, retryable: bool = False, debug_details: str | None = None
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.debug_details = debug_details
        self.attempts = 0
        self.request_id: str | None = None
        self.model_name: str | None = None

    def __str__(self) -> str:
        message = str(self.args[0])
        if self.attempts > 1:
            message += f" (after {self.attempts} attempts)"
        if self.request_id is not None:
            message += f" [request {self.request_id}]"
        return message


class ConfigurationError(SegmentationError, ValueError):
    """An argument or a setting that can never work, found before any call."""


class InvalidImageError(SegmentationError, ValueError):
    """The picture cannot be segmented; another picture may."""


class ImageDecodeError(InvalidImageError):
    """The file is missing or unreadable, or its bytes are not a whole picture."""


class ImageTooLargeError(InvalidImageError):
    """The picture exceeds `ImageLimits`; it was not decoded."""


class UnsupportedImageError(InvalidImageError):
    """The picture is readable, but converting it to 8-bit RGB would mean guessing."""


class TransportError(SegmentationError):
    """The request or its answer did not get through."""


class ConnectError(TransportError):
    """Nothing that speaks gRPC answers at the address."""


class ConnectionLostError(TransportError):
    """The connection broke while the call was under way."""


class DeadlineExceededError(TransportError, TimeoutError):
    """The call did not end within its `timeout_s`."""


class MessageTooLargeError(TransportError):
    """The request or its answer is larger than client, proxy or server let through."""


class ServerError(SegmentationError):
    """The server answered, and the answer is an error."""


class AccessDeniedError(ServerError):
    """The server wants a header, token or certificate that this client does not send."""


class ModelNotFoundError(ServerError):
    """The server has no such model, or no version of it could be loaded."""


class ModelNotReadyError(ServerError):
    """The server knows the model but cannot serve it at present."""


class OverloadedError(ServerError):
    """The server turned the request away; its queue is full or it is shutting down."""


class RequestRejectedError(ServerError):
    """The server refuses this request, and would refuse it again."""


class InferenceFailedError(ServerError):
    """The model failed on this request; the server's log says why."""


class ProtocolError(SegmentationError):
    """The server's answer is not what the contract with this client promises."""


class ClientClosedError(SegmentationError, RuntimeError):
    """The client was closed, or belongs to the process from which this one was forked."""
