"""What a client tells of its calls: counters, every attempt, and how long things took."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .._attempt import Attempt, AttemptHook, Purpose
from .._results.timings import Timings
from .tracing import CallSpan, Tracing

_logger = logging.getLogger("tritonseg")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatistics:
    """What a client has counted since it was made; a snapshot.

    Attributes:
        calls: Pictures that `segment` or `segment_many` began with.
        in_flight: Those of them that have not ended.
        succeeded: Those that ended with a mask.
        failed: Those that ended otherwise, by the name of the exception.
        attempts: Attempts to segment a picture or to describe a model.
        retries: Those of them that came after a failed one.
    """

    calls: int
    in_flight: int
    succeeded: int
    failed: Mapping[str, int]
    attempts: int
    retries: int


class Call:
    """One call as it goes on.

    Args:
        telemetry: Of the client.
        model_name: As of `Attempt`.
        model_version: As of `Attempt`.
        request_id: As of `Attempt`.
        span: What a trace knows of the call.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        model_name: str,
        model_version: str,
        request_id: str | None,
        span: CallSpan,
    ) -> None:
        self._telemetry = telemetry
        self._model_name = model_name
        self._model_version = model_version
        self._request_id = request_id
        self._span = span
        self._began_s = self._attempt_began_s = time.monotonic()
        self._read_s = 0.0
        self._purpose: Purpose = "describe"
        self._number = 0
        self._pictures_sent = 0

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What tells the server of the trace that the call belongs to."""
        return self._span.headers

    @property
    def timings(self) -> Timings:
        """Until now, with the attempt that goes on as the one that succeeds."""
        now_s = time.monotonic()
        return Timings(
            read_s=self._read_s,
            attempt_s=now_s - self._attempt_began_s,
            total_s=now_s - self._began_s,
            attempts=self._pictures_sent,
        )

    def end_reading(self) -> None:
        """Take the time until now for that of reading the picture."""
        self._read_s = time.monotonic() - self._began_s

    def begin_attempt(self, purpose: Purpose, number: int) -> None:
        """Begin an attempt; as for `Attempt`."""
        self._purpose, self._number = purpose, number
        self._attempt_began_s = time.monotonic()
        self._pictures_sent += purpose == "segment"

    def end_attempt(self, error: BaseException | None, *, retry_in_s: float | None = None) -> None:
        """Count the attempt, and tell the hook and the trace of it; as for `Attempt`."""
        if error is not None:
            self._span.note_failure(error, number=self._number, retry_in_s=retry_in_s)
        self._telemetry.note(
            Attempt(
                purpose=self._purpose,
                model_name=self._model_name,
                model_version=self._model_version,
                request_id=self._request_id,
                number=self._number,
                duration_s=time.monotonic() - self._attempt_began_s,
                error=error,
                retry_in_s=retry_in_s,
            )
        )


class Telemetry:
    """Counters of one client, safe to share between threads, and whom else it tells.

    Args:
        on_attempt: Called with every attempt, in the thread or task that made it. What it raises
            is logged and stops nothing.
        tracing: Makes the spans of calls.
    """

    def __init__(self, on_attempt: AttemptHook | None, tracing: Tracing) -> None:
        self._on_attempt = on_attempt
        self._tracing = tracing
        self._lock = threading.Lock()
        self._calls = self._succeeded = self._attempts = self._retries = 0
        self._failed: Counter[str] = Counter()

    @property
    def statistics(self) -> ClientStatistics:
        """What was counted until now."""
        with self._lock:
            ended = self._succeeded + self._failed.total()
            return ClientStatistics(
                calls=self._calls,
                in_flight=self._calls - ended,
                succeeded=self._succeeded,
                failed=MappingProxyType(dict(self._failed)),
                attempts=self._attempts,
                retries=self._retries,
            )

    @contextlib.contextmanager
    def call(
        self, purpose: Purpose, *, model_name: str, model_version: str, request_id: str | None
    ) -> Iterator[Call]:
        """Watch a call."""
        span = self._tracing.begin(purpose, model_name=model_name, request_id=request_id)
        call = Call(
            self,
            model_name=model_name,
            model_version=model_version,
            request_id=request_id,
            span=span,
        )
        try:
            with self._counted(purpose):
                yield call
        except BaseException as error:
            span.end(error)
            raise
        span.end(None)

    def note(self, attempt: Attempt) -> None:
        """Count an attempt, and call the hook."""
        with self._lock:
            self._attempts += 1
            self._retries += attempt.number > 1
        if self._on_attempt is None:
            return
        try:
            self._on_attempt(attempt)
        except Exception:
            _logger.exception("on_attempt raised")

    @contextlib.contextmanager
    def _counted(self, purpose: Purpose) -> Iterator[None]:
        if purpose != "segment":
            yield
            return
        with self._lock:
            self._calls += 1
        try:
            yield
        except BaseException as error:
            with self._lock:
                self._failed[type(error).__name__] += 1
            raise
        with self._lock:
            self._succeeded += 1
