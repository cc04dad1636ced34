"""One model on its server: what it is, and the class maps it gives, with retries."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TypeVar

from tritonclient.grpc import service_pb2

from ._config import RetryPolicy
from ._deadline import Deadline
from ._description import Description, RememberedDescription
from ._errors import (
    ConfigurationError,
    ModelNotReadyError,
    RequestRejectedError,
    SegmentationError,
)
from ._metadata import ModelInfo
from ._picture import EncodedImage, Picture, RgbImage
from ._protocol import build_infer_request, parse_infer_response
from ._result import Segmentation
from ._retry import RetryBudget, RetrySequence
from ._transport import GrpcTransport

_logger = logging.getLogger("tritonseg")
_T = TypeVar("_T")


class RemoteModel:
    """The requests that one model takes; safe to share between threads.

    Args:
        name: What the server calls the model.
        transport: The connection to its server.
        retry: How requests that the server could not take are sent again.
    """

    def __init__(self, name: str, *, transport: GrpcTransport, retry: RetryPolicy) -> None:
        self._name = name
        self._transport = transport
        self._retry = retry
        self._budget = RetryBudget()
        self._description = RememberedDescription(transport)

    def describe(self, deadline: Deadline) -> ModelInfo:
        """Return what the server says about the model; remembered as long as it holds."""
        known = self._description.remembered
        if known is None:
            known = self._send(lambda: self._description.current(deadline), deadline)
        return known.model

    def segment(
        self, picture: Picture, *, confidence: bool, request_id: str, deadline: Deadline
    ) -> Segmentation:
        """Return what the model makes of a picture, sent as a file only where it takes files.

        Raises:
            ConfigurationError: `confidence` is asked for, and the model has none to give.
            InvalidImageError: The file is corrupt behind its header.
        """
        model = self.describe(deadline)
        if confidence and not model.gives_confidence:  # a model that took its place may do so
            model = self._send(lambda: self._described_again(deadline), deadline).model
            _require_confidence(model)
        ask = functools.partial(
            self._ask, confidence=confidence, request_id=request_id, deadline=deadline
        )
        if isinstance(picture, RgbImage):
            return ask(picture)
        return _ask_with_file(picture, ask) if model.takes_files else ask(picture.rgb)

    def _ask(
        self, picture: Picture, *, confidence: bool, request_id: str, deadline: Deadline
    ) -> Segmentation:
        """Send a picture, described anew before each attempt if the model may have changed."""

        def attempt() -> Segmentation:
            known = self._description.current(deadline)
            if confidence:
                _require_confidence(known.model)
            request = build_infer_request(
                model_name=self._name,
                model_version=self._transport.model_version,
                request_id=request_id,
                picture=picture,
                confidence=confidence,
                digest=known.digest is not None,
            )
            response = self._infer(request, known, deadline)
            if not known.is_of(response, request):
                known = self._described_anew(known, deadline)
                if not known.is_of(response, request):
                    raise self._replaced()
            elif not self._description.current(deadline).says_the_same_as(known):
                raise self._replaced()
            return _segmentation(response, request, picture, known.model)

        return self._send(attempt, deadline)

    def _infer(
        self, request: service_pb2.ModelInferRequest, known: Description, deadline: Deadline
    ) -> service_pb2.ModelInferResponse:
        try:
            return self._transport.infer(request, deadline.require_s())
        except RequestRejectedError as refusal:
            # What is asked for goes by the description: another model may not have it.
            if not self._described_anew(known, deadline).says_the_same_as(known):
                raise self._replaced() from refusal
            raise
        except SegmentationError as error:
            if known.may_end_with(error):
                self._description.forget(known)
            raise

    def _described_again(self, deadline: Deadline) -> Description:
        return self._described_anew(self._description.current(deadline), deadline)

    def _described_anew(self, known: Description, deadline: Deadline) -> Description:
        self._description.forget(known)
        return self._description.current(deadline)

    def _replaced(self) -> ModelNotReadyError:
        return ModelNotReadyError(
            f"model '{self._name}' was replaced while the picture was on its way, and what the "
            "server says about it is of another build than its answer; segment the picture again",
            retryable=True,
        )

    def _send(self, call: Callable[[], _T], deadline: Deadline) -> _T:
        """Make a call within the deadline, and again as the retry policy allows."""
        sequence = RetrySequence(self._retry, self._budget)
        while True:
            deadline.require_s()
            try:
                return call()
            except SegmentationError as error:
                error.attempts = sequence.attempts
                delay_s = sequence.next_delay_s(error, deadline.remaining_s())
                if delay_s is None:
                    raise
                _logger.info("%s; next attempt in %.2f s", error, delay_s)
            self._transport.pause(delay_s)


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
    )


def _ask_with_file(picture: EncodedImage, ask: Callable[[Picture], Segmentation]) -> Segmentation:
    try:
        return ask(picture)
    except RequestRejectedError as refusal:
        # A broken file fails here as it would have failed before any request in raw transport.
        # Any other gets its chance as pixels: decoders of two hosts may differ in what they read.
        pixels = picture.rgb
        _logger.info("%s; sending the pixels instead of the file", refusal)
        return ask(pixels)
