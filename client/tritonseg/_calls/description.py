"""What the server says about its model, remembered as long as it is known to hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tritonclient.grpc import service_pb2

from .._errors import ModelNotReadyError, SegmentationError, TransportError
from .._model.metadata import (
    ModelInfo,
    but_for_the_engine,
    latest_version,
    parameters_of,
    parse_digest,
    parse_model_info,
)
from .deadline import Deadline
from .endpoint import ModelEndpoint
from .flow import Enter, Flow, Lock
from .protocol import check_tensors, read_digest

_REMEMBERED: Final = 32
"""Builds; servers that take turns have one for each kind of GPU, and an update brings another."""
_ASKED_FOR_ONE_ANSWER: Final = 8
"""How often: servers take turns with these questions as well, and only one of them answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What one model said about itself.

    Attributes:
        model: Names, colours and the rest.
        digest: SHA-256 of what its build published, which comes with every answer; None where
            the model answers without it.
        losses: How often the connection had been lost when the server was asked.
    """

    model: ModelInfo
    digest: bytes | None
    losses: int

    def is_of(
        self, response: service_pb2.ModelInferResponse, request: service_pb2.ModelInferRequest
    ) -> bool:
        """Return whether an answer comes from the model that described itself so.

        Raises:
            ProtocolError: It is another request's, or says nothing about that.
        """
        if self.digest is None:
            return bool(response.model_version == self.model.version)
        return read_digest(response, request=request) == self.digest

    def may_end_with(self, error: SegmentationError) -> bool:
        """Return whether the server may have come back with another model after an error.

        A model that says with every answer which one it is needs no guessing.
        """
        return self.digest is None and (error.retryable or isinstance(error, TransportError))

    def says_the_same_as(self, other: Description) -> bool:
        """Return whether nothing changed between two questions."""
        return (self.model, self.digest) == (other.model, other.digest)

    def asks_the_same_as(self, other: Description) -> bool:
        """Return whether both would refuse the same request: they differ in the engine at most."""
        return but_for_the_engine(self.model) == but_for_the_engine(other.model) and (
            self.digest is None
        ) == (other.digest is None)


def read_published(
    metadata: service_pb2.ModelMetadataResponse, parameters: Mapping[str, str], version: str = ""
) -> tuple[ModelInfo, bytes | None]:
    """Return what a model says about itself, and the digest that its answers carry, if they do.

    Args:
        metadata: Its name, versions and tensors.
        parameters: The string value of each of the `parameters` in its config.
        version: The version in question; empty for the highest.

    Raises:
        ProtocolError: The model is not one that this client understands.
    """
    optional = check_tensors(metadata)
    version = version or latest_version(metadata.name, metadata.versions)
    parameters = parameters_of(parameters, version)
    model = parse_model_info(
        metadata.name,
        version=version,
        parameters=parameters,
        takes_files=optional.encoded_image,
        gives_confidence=optional.confidence,
    )
    if not optional.digest:
        return model, None
    digest = parse_digest(metadata.name, parameters)
    return replace(model, digest=digest.hex()), digest


def _are_of_one_model(metadata: service_pb2.ModelMetadataResponse, config: Any) -> bool:
    """Return whether two servers that take turns cannot be told by what the two answers name."""
    named = {tensor.name for tensor in (*metadata.inputs, *metadata.outputs)}
    configured = {tensor.name for tensor in (*config.input, *config.output)}
    return not configured or named == configured


class RememberedDescription:
    """Asked for once, and again where it may have changed; shared by all calls of a client.

    Servers that take turns may have several builds, of one export for the GPU of each. A digest
    says which of them answered, so what each said holds as long as there is a client.

    Args:
        endpoint: Where and how to ask.
        lock: Of the kind that the client's transport acquires.
    """

    def __init__(self, endpoint: ModelEndpoint, lock: Lock) -> None:
        self._endpoint = endpoint
        self._lock = lock
        self._known: Description | None = None
        self._by_digest: dict[bytes, Description] = {}

    @property
    def remembered(self) -> Description | None:
        """What is known and still holds."""
        known = self._known
        if known is None or known.digest is not None:
            return known
        return known if known.losses == self._endpoint.watch.losses else None

    def current(self, deadline: Deadline) -> Flow[Description]:
        """Return what is remembered, or ask the server, without retries."""
        if (known := self.remembered) is not None:
            return known
        yield from self._acquire(deadline)
        try:
            if (known := self.remembered) is None:
                known = self._known = yield from self._fetch(deadline)
            return known
        finally:
            self._lock.release()

    def of(
        self,
        response: service_pb2.ModelInferResponse,
        request: service_pb2.ModelInferRequest,
        deadline: Deadline,
    ) -> Flow[Description | None]:
        """Return what the build said whose digest came with an answer, None if none says it.

        Raises:
            ProtocolError: The answer is another request's, or does not say whose it is.
        """
        digest = read_digest(response, request=request)
        if digest not in self._by_digest:
            yield from self._ask_for(digest, deadline)
        found = self._by_digest.get(digest)
        if found is not None:
            self._known = found
        return found

    def forget(self, description: Description) -> None:
        """Ask again next time, unless another call has done so since."""
        # Without the lock, which a call that asks may hold for longer than this one has.
        if self._known is description:
            self._known = None

    def _ask_for(self, digest: bytes, deadline: Deadline) -> Flow[None]:
        yield from self._acquire(deadline)
        try:
            for _ in range(_ASKED_FOR_ONE_ANSWER):
                if digest in self._by_digest:
                    return
                self._known = yield from self._fetch(deadline)
        finally:
            self._lock.release()

    def _acquire(self, deadline: Deadline) -> Flow[None]:
        # Another call may be asking, with a later deadline than this one's.
        while not (yield Enter(lock=self._lock, timeout_s=deadline.require_s())):
            continue

    def _fetch(self, deadline: Deadline) -> Flow[Description]:
        endpoint, watch = self._endpoint, self._endpoint.watch
        for _ in range(_ASKED_FOR_ONE_ANSWER):
            losses = watch.losses
            metadata = yield endpoint.fetch_metadata(deadline.require_s())
            config = (yield endpoint.fetch_config(deadline.require_s())).config
            if _are_of_one_model(metadata, config):
                break
        else:
            raise ModelNotReadyError(
                f"model '{endpoint.name}': the tensors and the config that its server names are of "
                "two builds, each time; its servers have builds that differ, or it is replaced now",
                retryable=True,
            )
        parameters = {key: value.string_value for key, value in config.parameters.items()}
        model, digest = read_published(metadata, parameters, endpoint.version)
        known = Description(model=model, digest=digest, losses=losses)
        if digest is None:
            watch.start()
        else:
            self._by_digest[digest] = known
            while len(self._by_digest) > _REMEMBERED:
                del self._by_digest[next(iter(self._by_digest))]
        return known
