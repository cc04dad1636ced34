"""One model on its server: what it is, and the class maps it gives, with retries."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeVar

from tritonclient.grpc import service_pb2

from ._config import RetryPolicy
from ._deadline import Deadline
from ._description import Description, RememberedDescription
from ._endpoint import ModelEndpoint
from ._errors import (
    ConfigurationError,
    DeadlineExceededError,
    ModelNotFoundError,
    ModelNotReadyError,
    RequestRejectedError,
    SegmentationError,
)
from ._flow import Compute, Flow, Lock, Pause
from ._metadata import ModelInfo
from ._picture import EncodedImage, Picture, RgbImage
from ._protocol import build_infer_request, parse_infer_response
from ._result import Segmentation
from ._retry import RetryBudget, RetrySequence
from ._telemetry import Call, Purpose

_logger = logging.getLogger("tritonseg")
_T = TypeVar("_T")

_PROBE_TIMEOUT_S: Final = 5.0
_PROBE_INTERVAL_S: Final = 0.2


class RemoteModel:
    """The requests that one model takes, as flows; shared by all calls of a client.

    Args:
        endpoint: Where it is.
        retry: How requests that the server could not take are sent again.
        budget: Of retries, shared by all models of the client.
        lock: Of the kind that the client's transport acquires.

    Attributes:
        endpoint: Where it is.
    """

    def __init__(
        self, endpoint: ModelEndpoint, *, retry: RetryPolicy, budget: RetryBudget, lock: Lock
    ) -> None:
        self.endpoint = endpoint
        self._retry = retry
        self._budget = budget
        self._description = RememberedDescription(endpoint, lock)

    def is_ready(self, deadline: Deadline) -> Flow[bool]:
        """Return whether the server says that the model can take requests, without retries."""
        response = yield self.endpoint.is_ready(deadline.require_s())
        return bool(response.ready)

    def wait_ready(self, deadline: Deadline) -> Flow[None]:
        """Return once the model is ready; raise what waiting cannot cure."""
        while (error := (yield from self._probe(deadline))) is not None:
            if deadline.remaining_s() <= _PROBE_INTERVAL_S:
                raise error
            yield Pause(delay_s=_PROBE_INTERVAL_S)

    def describe(self, deadline: Deadline, call: Call) -> Flow[ModelInfo]:
        """Return what the server says about the model; remembered as long as it holds."""
        known = self._description.remembered
        if known is None:
            known = yield from self._send(
                "describe", lambda: self._description.current(deadline), deadline, call
            )
        return known.model

    def segment(
        self,
        picture: Picture,
        *,
        confidence: bool,
        request_id: str,
        deadline: Deadline,
        call: Call,
    ) -> Flow[Segmentation]:
        """Return what the model makes of a picture, sent as a file only where it takes files.

        Raises:
            ConfigurationError: `confidence` is asked for, and the model has none to give.
            InvalidImageError: The file is corrupt behind its header.
        """
        model = yield from self.describe(deadline, call)
        if confidence and not model.gives_confidence:  # a model that took its place may do so
            known = yield from self._send(
                "describe", lambda: self._described_again(deadline), deadline, call
            )
            _require_confidence(known.model)
            model = known.model

        def ask(sent: Picture) -> Flow[Segmentation]:
            def attempt() -> Flow[Segmentation]:
                return self._attempt(
                    sent, confidence=confidence, request_id=request_id, deadline=deadline, call=call
                )

            return self._send("segment", attempt, deadline, call)

        if isinstance(picture, RgbImage):
            return (yield from ask(picture))
        if not model.takes_files:
            return (yield from ask((yield _pixels_of(picture))))
        return (yield from _ask_with_file(picture, ask))

    def _attempt(
        self,
        picture: Picture,
        *,
        confidence: bool,
        request_id: str,
        deadline: Deadline,
        call: Call,
    ) -> Flow[Segmentation]:
        """Send a picture once, by what the model says of itself now."""
        known = yield from self._description.current(deadline)
        if confidence:
            _require_confidence(known.model)
        request = build_infer_request(
            model_name=self.endpoint.name,
            model_version=self.endpoint.version,
            request_id=request_id,
            picture=picture,
            confidence=confidence,
            digest=known.digest is not None,
        )
        response = yield from self._infer(request, known, deadline, call)
        if not known.is_of(response, request):
            known = yield from self._described_anew(known, deadline)
            if not known.is_of(response, request):
                raise self._replaced()
        elif not (yield from self._description.current(deadline)).says_the_same_as(known):
            raise self._replaced()
        return _segmentation(response, request, picture, known.model, call)

    def _infer(
        self,
        request: service_pb2.ModelInferRequest,
        known: Description,
        deadline: Deadline,
        call: Call,
    ) -> Flow[service_pb2.ModelInferResponse]:
        try:
            return (yield self.endpoint.infer(request, deadline.require_s(), call.headers))
        except RequestRejectedError as refusal:
            # What is asked for goes by the description: another model may not have it.
            if not (yield from self._described_anew(known, deadline)).says_the_same_as(known):
                raise self._replaced() from refusal
            raise
        except SegmentationError as error:
            if known.may_end_with(error):
                self._description.forget(known)
            raise

    def _described_again(self, deadline: Deadline) -> Flow[Description]:
        known = yield from self._description.current(deadline)
        return (yield from self._described_anew(known, deadline))

    def _described_anew(self, known: Description, deadline: Deadline) -> Flow[Description]:
        self._description.forget(known)
        return (yield from self._description.current(deadline))

    def _replaced(self) -> ModelNotReadyError:
        return ModelNotReadyError(
            f"model '{self.endpoint.name}' was replaced while the picture was on its way, and "
            "what the server says about it is of another build than its answer; segment the "
            "picture again",
            retryable=True,
        )

    def _probe(self, deadline: Deadline) -> Flow[SegmentationError | None]:
        """Return None if the model is ready, else why not; raise what waiting cannot cure."""
        timeout_s = min(deadline.require_s(), _PROBE_TIMEOUT_S)
        try:
            response = yield self.endpoint.is_ready(timeout_s)
        except (DeadlineExceededError, ModelNotFoundError) as error:
            return error
        except SegmentationError as error:
            if not error.retryable:
                raise
            return error
        if response.ready:
            return None
        return ModelNotReadyError(
            f"{self.endpoint.subject} is not ready; the server's log says whether it is still "
            "loading, failed to load or is unknown",
            retryable=True,
        )

    def _send(
        self, purpose: Purpose, attempt: Callable[[], Flow[_T]], deadline: Deadline, call: Call
    ) -> Flow[_T]:
        """Make an attempt within the deadline, and another as the retry policy allows."""
        sequence = RetrySequence(self._retry, self._budget)
        while True:
            deadline.require_s()
            call.begin_attempt(purpose, sequence.attempts)
            try:
                outcome = yield from attempt()
            except SegmentationError as error:
                error.attempts = sequence.attempts
                delay_s = sequence.next_delay_s(error, deadline.remaining_s())
                call.end_attempt(error, retry_in_s=delay_s)
                if delay_s is None:
                    raise
                _logger.info("%s; next attempt in %.2f s", error, delay_s)
            else:
                call.end_attempt(None)
                return outcome
            yield Pause(delay_s=delay_s)


def _require_confidence(model: ModelInfo) -> None:
    if not model.gives_confidence:
        raise ConfigurationError(
            f"model '{model.name}' gives no confidence: its network puts out classes, or "
            "scores that are neither logits nor probabilities of the classes or have a "
            "threshold of their own, or it was built with `--layout fused`; segment without "
            "confidence=True, or build it from an export that ends in its raw scores"
        )


def _segmentation(
    response: service_pb2.ModelInferResponse,
    request: service_pb2.ModelInferRequest,
    picture: Picture,
    model: ModelInfo,
    call: Call,
) -> Segmentation:
    answer = parse_infer_response(
        response, request=request, size=picture.size, class_count=len(model.classes)
    )
    return Segmentation(
        class_map=answer.class_map,
        confidence=answer.confidence,
        picture=picture,
        model=model,
        model_version=response.model_version,
        request_id=request.id,
        timings=call.timings,
    )


def _pixels_of(picture: EncodedImage) -> Compute:
    return Compute(function=lambda: picture.rgb)


def _ask_with_file(
    picture: EncodedImage, ask: Callable[[Picture], Flow[Segmentation]]
) -> Flow[Segmentation]:
    try:
        return (yield from ask(picture))
    except RequestRejectedError as refusal:
        # A broken file fails here as it would have failed before any request in raw transport.
        # Any other gets its chance as pixels: decoders of two hosts may differ in what they read.
        pixels = yield _pixels_of(picture)
        _logger.info("%s; sending the pixels instead of the file", refusal)
        return (yield from ask(pixels))
