"""One attempt to have a picture segmented: what goes to the server, and what its answer means."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tritonclient.grpc import service_pb2

from .._errors import (
    ConfigurationError,
    ModelNotReadyError,
    RequestRejectedError,
    SegmentationError,
    ServerError,
)
from .._model.metadata import ModelInfo
from .._pictures.picture import Picture, RgbImage
from .._results.segmentation import Segmentation
from .deadline import Deadline
from .description import Description, RememberedDescription
from .endpoint import ModelEndpoint
from .flow import Flow
from .protocol import build_infer_request, parse_infer_response
from .shared_memory import SharedMemory, SharedRegion
from .telemetry import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a call asks of a model.

    Attributes:
        picture: What to segment.
        confidence: Whether to ask for that.
        shares_memory: Whether pixels may go by memory that the server shares.
        request_id: As the client's.
        deadline: Of the call.
        call: Who watches it.
    """

    picture: Picture
    confidence: bool
    shares_memory: bool
    request_id: str
    deadline: Deadline
    call: Call


class Inference:
    """The requests for class maps that one model takes, without retries.

    Args:
        endpoint: Where it is.
        description: What it says about itself.
        memory: Shared with its server.
    """

    def __init__(
        self, endpoint: ModelEndpoint, description: RememberedDescription, memory: SharedMemory
    ) -> None:
        self._endpoint = endpoint
        self._description = description
        self._memory = memory

    def attempt(self, question: Question) -> Flow[Segmentation]:
        """Send a picture once, by what the model says of itself now."""
        known = yield from self._description.current(question.deadline)
        if question.confidence:
            require_confidence(known.model)
        region = yield from self._lent(question)
        request = build_infer_request(
            model_name=self._endpoint.name,
            model_version=self._endpoint.version,
            request_id=question.request_id,
            picture=question.picture,
            region=None if region is None else region.name,
            confidence=question.confidence,
            digest=known.digest is not None,
        )
        try:
            response = yield from self._infer(request, known, question)
        except BaseException as error:
            if region is None:
                raise
            is_lost = _speaks_of(region, error)
            self._memory.take_back(region, is_answered=_is_answer(error) and not is_lost)
            if not is_lost:
                raise
            # Another server than the one that mapped it: it was started again since.
            return (yield from self.attempt(replace(question, shares_memory=False)))
        if region is not None:
            self._memory.take_back(region, is_answered=True)
        known = yield from self._confirmed(known, request, response, question.deadline)
        return _segmentation(response, request, known.model, question)

    def described_anew(self, known: Description, deadline: Deadline) -> Flow[Description]:
        """Ask the model once more what it is."""
        self._description.forget(known)
        return (yield from self._description.current(deadline))

    def _lent(self, question: Question) -> Flow[SharedRegion | None]:
        if not question.shares_memory or not isinstance(question.picture, RgbImage):
            return None
        return (yield from self._memory.lend(question.picture.pixels, question.deadline))

    def _infer(
        self, request: service_pb2.ModelInferRequest, known: Description, question: Question
    ) -> Flow[service_pb2.ModelInferResponse]:
        deadline = question.deadline
        try:
            return (
                yield self._endpoint.infer(request, deadline.require_s(), question.call.headers)
            )
        except RequestRejectedError as refusal:
            # What is asked for goes by the description: another model may not have it, or take it.
            if not (yield from self.described_anew(known, deadline)).asks_the_same_as(known):
                raise self._replaced() from refusal
            raise
        except SegmentationError as error:
            if known.may_end_with(error):
                self._description.forget(known)
            raise

    def _confirmed(
        self,
        known: Description,
        request: service_pb2.ModelInferRequest,
        response: service_pb2.ModelInferResponse,
        deadline: Deadline,
    ) -> Flow[Description]:
        """Return the description of the model that answered.

        Raises:
            ModelNotReadyError: What the server says of itself is of another build.
        """
        if known.digest is not None:
            if not known.is_of(response, request):
                by_digest = yield from self._description.of(response, request, deadline)
                if by_digest is None:
                    raise self._replaced()
                known = by_digest
            return known
        if not known.is_of(response, request):
            known = yield from self.described_anew(known, deadline)
            if not known.is_of(response, request):
                raise self._replaced()
        elif not (yield from self._description.current(deadline)).says_the_same_as(known):
            raise self._replaced()
        return known

    def _replaced(self) -> ModelNotReadyError:
        return ModelNotReadyError(
            f"model '{self._endpoint.name}' was replaced while the picture was on its way, and "
            "what the server says about it is of another build than its answer; segment the "
            "picture again",
            retryable=True,
        )


def require_confidence(model: ModelInfo) -> None:
    """Raise `ConfigurationError` for a model that has none to give."""
    if not model.gives_confidence:
        raise ConfigurationError(
            f"model '{model.name}' gives no confidence: its network puts out classes, or "
            "scores that are neither logits nor probabilities of the classes or have a "
            "threshold of their own, or it was built with `--layout fused`; segment without "
            "confidence=True, or build it from an export that ends in its raw scores"
        )


def _is_answer(error: BaseException) -> bool:
    """Return whether the server is done with a request that ended so."""
    return isinstance(error, ServerError)


def _speaks_of(region: SharedRegion, error: BaseException) -> bool:
    """Return whether a server refuses a region, by the name that only this one has."""
    return isinstance(error, SegmentationError) and region.name in (error.debug_details or "")


def _segmentation(
    response: service_pb2.ModelInferResponse,
    request: service_pb2.ModelInferRequest,
    model: ModelInfo,
    question: Question,
) -> Segmentation:
    picture = question.picture
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
        timings=question.call.timings,
    )
