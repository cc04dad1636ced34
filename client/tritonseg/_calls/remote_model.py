"""One model on its server: what it is, and the class maps it gives, with retries."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from .._attempt import Purpose
from .._config import RetryPolicy
from .._errors import (
    DeadlineExceededError,
    ModelNotFoundError,
    ModelNotReadyError,
    RequestRejectedError,
    SegmentationError,
)
from .._model.metadata import ModelInfo
from .._pictures.picture import EncodedImage, Picture, RgbImage
from .._results.segmentation import Segmentation
from .deadline import Deadline
from .description import Description, RememberedDescription
from .endpoint import ModelEndpoint
from .flow import Compute, Flow, Lock, Pause
from .inference import Inference, Question, require_confidence
from .retry import RetryBudget, RetrySequence
from .shared_memory import SharedMemory
from .telemetry import Call

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
        memory: Shared with its server.
        lock: Of the kind that the client's transport acquires.

    Attributes:
        endpoint: Where it is.
    """

    def __init__(
        self,
        endpoint: ModelEndpoint,
        *,
        retry: RetryPolicy,
        budget: RetryBudget,
        memory: SharedMemory,
        lock: Lock,
    ) -> None:
        self.endpoint = endpoint
        self._retry = retry
        self._budget = budget
        self._description = RememberedDescription(endpoint, lock)
        self._inference = Inference(endpoint, self._description, memory)

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

    def segment(self, question: Question) -> Flow[Segmentation]:
        """Return what the model makes of a picture, sent as a file only where it takes files.

        Raises:
            ConfigurationError: Confidence is asked for, and the model has none to give.
            InvalidImageError: The file is corrupt behind its header.
        """
        deadline, call, picture = question.deadline, question.call, question.picture
        model = yield from self.describe(deadline, call)
        if question.confidence and not model.gives_confidence:
            # A model that took its place may do so.
            known = yield from self._send(
                "describe", lambda: self._described_again(deadline), deadline, call
            )
            require_confidence(known.model)
            model = known.model

        def ask(sent: Picture) -> Flow[Segmentation]:
            asked = replace(question, picture=sent)
            return self._send("segment", lambda: self._inference.attempt(asked), deadline, call)

        if isinstance(picture, RgbImage):
            return (yield from ask(picture))
        if not model.takes_files:
            return (yield from ask((yield _pixels_of(picture))))
        return (yield from _ask_with_file(picture, ask))

    def _described_again(self, deadline: Deadline) -> Flow[Description]:
        known = yield from self._description.current(deadline)
        return (yield from self._inference.described_anew(known, deadline))

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
            except BaseException as error:  # cancelled, or the flow was left
                call.end_attempt(error)
                raise
            else:
                call.end_attempt(None)
                return outcome
            yield Pause(delay_s=delay_s)


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
