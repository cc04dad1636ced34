"""Spans of calls for OpenTelemetry, where that is asked for and installed.

A call is one span; the server is told of it in every request, by `traceparent`, so that Triton's
own spans hang below it. Names after OpenTelemetry's semantic conventions for RPC; what they have no
name for begins with "tritonseg.".
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Final, Protocol

from .._connection import is_header_name, is_header_value
from .._errors import ConfigurationError
from .._version import __version__

_logger = logging.getLogger("tritonseg")

_METHODS: Final = {"segment": "ModelInfer", "describe": "ModelConfig"}
_SERVICE: Final = "inference.GRPCInferenceService"


class CallSpan(Protocol):
    """What a trace knows of one call."""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What tells the server of the span."""

    def note_failure(self, error: BaseException, *, number: int, retry_in_s: float | None) -> None:
        """Add an event for an attempt that failed."""

    def end(self, error: BaseException | None) -> None:
        """End the span, with the error that the call ended with."""


class Tracing(Protocol):
    """Makes spans."""

    def begin(self, purpose: str, *, model_name: str, request_id: str | None) -> CallSpan:
        """Begin the span of a call, below whichever is current."""


class NoTracing:
    """Makes no spans, and stands for each of them."""

    headers: tuple[tuple[str, str], ...] = ()

    def begin(self, purpose: str, *, model_name: str, request_id: str | None) -> NoTracing:
        """Begin nothing."""
        del purpose, model_name, request_id
        return self

    def note_failure(self, error: BaseException, *, number: int, retry_in_s: float | None) -> None:
        """Note nothing."""

    def end(self, error: BaseException | None) -> None:
        """End nothing."""


class OpenTelemetryTracing:
    """Makes spans by the process's own tracer provider.

    Args:
        address: Of the server, for the spans.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """

    def __init__(self, address: str) -> None:
        try:
            from opentelemetry import trace
        except ImportError as exc:
            raise ConfigurationError(
                "tracing=True needs OpenTelemetry's API, which is not installed: "
                "pip install opentelemetry-api, or the extra `otel` of tritonseg"
            ) from exc
        self._tracer = trace.get_tracer("tritonseg", __version__)
        self._address = address

    def begin(self, purpose: str, *, model_name: str, request_id: str | None) -> CallSpan:
        """Begin the span of a call, below whichever is current."""
        from opentelemetry import trace

        attributes = {
            "rpc.system": "grpc",
            "rpc.service": _SERVICE,
            "rpc.method": _METHODS[purpose],
            "server.address": self._address,
            "tritonseg.model": model_name,
        }
        if request_id is not None:
            attributes["tritonseg.request_id"] = request_id
        try:
            span = self._tracer.start_span(
                f"tritonseg.{purpose}", kind=trace.SpanKind.CLIENT, attributes=attributes
            )
            return _OpenTelemetrySpan(span)
        except Exception:  # of an SDK, a processor or a propagator of anybody's
            _logger.exception("a span could not be begun")
            return NoTracing()


class _OpenTelemetrySpan:
    def __init__(self, span: Any) -> None:
        from opentelemetry import propagate, trace

        self._span = span
        carrier: dict[str, str] = {}
        propagate.inject(carrier, context=trace.set_span_in_context(span))
        named = ((name.lower(), value) for name, value in carrier.items())
        # A propagator may be anybody's, and gRPC refuses the whole call for one bad header.
        self.headers = tuple(
            (name, value)
            for name, value in named
            if is_header_name(name) and is_header_value(value)
        )

    def note_failure(self, error: BaseException, *, number: int, retry_in_s: float | None) -> None:
        attributes: dict[str, str | int | float] = {
            "error.type": type(error).__name__,
            "tritonseg.attempt": number,
        }
        if retry_in_s is not None:
            attributes["tritonseg.retry_in_s"] = retry_in_s
        with _logged():
            self._span.add_event("attempt failed", attributes)

    def end(self, error: BaseException | None) -> None:
        from opentelemetry import trace

        with _logged():
            if error is not None:
                self._span.set_attribute("error.type", type(error).__name__)
                self._span.record_exception(error)
                self._span.set_status(trace.StatusCode.ERROR, str(error))
            self._span.end()


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """Log what tracing raises, which must not cost a call its mask."""
    try:
        yield
    except Exception:
        _logger.exception("a span could not be written")


def make_tracing(address: str, *, wanted: bool) -> Tracing:
    """Return what makes the spans of a client's calls.

    Raises:
        ConfigurationError: They are wanted, and OpenTelemetry is not installed.
    """
    return OpenTelemetryTracing(address) if wanted else NoTracing()
