"""What the server says about its model, remembered as long as it is known to hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from tritonclient.grpc import service_pb2

from .._errors import SegmentationError, TransportError
from .._model.metadata import (
    ModelInfo,
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
        """Return whether a request that goes by the one is the request that goes by the other."""
        return self._asked_for == other._asked_for

    @property
    def _asked_for(self) -> tuple[bool, ...]:
        model = self.model
        return model.takes_files, model.gives_confidence, self.digest is not None


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
        # Another call may be asking, with a later deadline than this one's.
        while not (yield Enter(lock=self._lock, timeout_s=deadline.require_s())):
            continue
        try:
            if (known := self.remembered) is None:
                known = self._known = yield from self._fetch(deadline)
            return known
        finally:
            self._lock.release()

    def of(
        self, response: service_pb2.ModelInferResponse, request: service_pb2.ModelInferRequest
    ) -> Description | None:
        """Return the description of the build that answered, if one was ever asked for.

        Raises:
            ProtocolError: The answer is another request's, or does not say whose it is.
        """
        found = self._by_digest.get(read_digest(response, request=request))
        if found is not None:
            self._known = found
        return found

    def forget(self, description: Description) -> None:
        """Ask again next time, unless another call has done so since."""
        # Without the lock, which a call that asks may hold for longer than this one has.
        if self._known is description:
            self._known = None

    def _fetch(self, deadline: Deadline) -> Flow[Description]:
        endpoint, watch = self._endpoint, self._endpoint.watch
        losses = watch.losses
        metadata = yield endpoint.fetch_metadata(deadline.require_s())
        response = yield endpoint.fetch_config(deadline.require_s())
        parameters = {key: value.string_value for key, value in response.config.parameters.items()}
        model, digest = read_published(metadata, parameters, endpoint.version)
        known = Description(model=model, digest=digest, losses=losses)
        if digest is None:
            watch.start()
        else:
            self._by_digest[digest] = known
            while len(self._by_digest) > _REMEMBERED:
                del self._by_digest[next(iter(self._by_digest))]
        return known
