"""One model on its server: what it is, and the class maps it gives, with retries."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from ._config import RetryPolicy
from ._deadline import Deadline
from ._errors import ConfigurationError, RequestRejectedError, SegmentationError
from ._metadata import ModelInfo, parse_model_info
from ._picture import EncodedImage, Picture, RgbImage
from ._protocol import build_infer_request, check_tensors, parse_infer_response
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
        self._model: ModelInfo | None = None
        self._model_lock = threading.Lock()

    def describe(self, deadline: Deadline) -> ModelInfo:
        """Return what the server says about the model; asked for once, then remembered."""
        if self._model is not None:
            return self._model
        # Another thread may be asking, with a later deadline than this call's.
        while not self._model_lock.acquire(timeout=deadline.require_s()):
            continue
        try:
            if self._model is None:
                self._model = self._fetch_description(deadline)
            return self._model
        finally:
            self._model_lock.release()

    def segment(
        self, picture: Picture, *, confidence: bool, request_id: str, deadline: Deadline
    ) -> Segmentation:
        """Return what the model makes of a picture, sent as a file only where it takes files.

        Raises:
            ConfigurationError: `confidence` is asked for, and the model has none to give.
            InvalidImageError: The file is corrupt behind its header.
        """
        model = self.describe(deadline)
        if confidence and not model.gives_confidence:
            raise ConfigurationError(
                f"model '{model.name}' gives no confidence: its network puts out classes, or "
                "scores that are neither logits nor probabilities of the classes or have a "
                "threshold of their own, or it was built with `--layout fused`; segment without "
                "confidence=True, or build it from an export that ends in its raw scores"
            )
        ask = functools.partial(
            self._ask, model=model, confidence=confidence, request_id=request_id, deadline=deadline
        )
        if isinstance(picture, RgbImage):
            return ask(picture)
        return _ask_with_file(picture, ask) if model.takes_files else ask(picture.rgb)

    def _fetch_description(self, deadline: Deadline) -> ModelInfo:
        metadata = self._send(self._transport.fetch_metadata, deadline)
        optional = check_tensors(metadata)
        parameters = self._send(self._transport.fetch_parameters, deadline)
        return parse_model_info(
            self._name,
            versions=metadata.versions,
            parameters=parameters,
            takes_files=optional.encoded_image,
            gives_confidence=optional.confidence,
        )

    def _ask(
        self,
        picture: Picture,
        *,
        model: ModelInfo,
        confidence: bool,
        request_id: str,
        deadline: Deadline,
    ) -> Segmentation:
        request = build_infer_request(
            model_name=model.name, request_id=request_id, picture=picture, confidence=confidence
        )
        response = self._send(lambda left_s: self._transport.infer(request, left_s), deadline)
        answer = parse_infer_response(
            response, request=request, size=picture.size, class_count=len(model.classes)
        )
        return Segmentation(
            class_map=answer.class_map,
            confidence=answer.confidence,
            picture=picture,
            model=model,
            model_version=response.model_version,
            request_id=request_id,
        )

    def _send(self, call: Callable[[float], _T], deadline: Deadline) -> _T:
        """Make a call with the time that is left, and again as the retry policy allows."""
        sequence = RetrySequence(self._retry, self._budget)
        while True:
            left_s = deadline.require_s()
            try:
                return call(left_s)
            except SegmentationError as error:
                error.attempts = sequence.attempts
                delay_s = sequence.next_delay_s(error, deadline.remaining_s())
                if delay_s is None:
                    raise
                _logger.info("%s; next attempt in %.2f s", error, delay_s)
            self._transport.pause(delay_s)


def _ask_with_file(picture: EncodedImage, ask: Callable[[Picture], Segmentation]) -> Segmentation:
    try:
        return ask(picture)
    except RequestRejectedError as refusal:
        # A broken file fails here as it would have failed before any request in raw transport.
        # Any other gets its chance as pixels: decoders of two hosts may differ in what they read.
        pixels = picture.rgb
        _logger.info("%s; sending the pixels instead of the file", refusal)
        return ask(pixels)
