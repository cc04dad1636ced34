"""What the server says about its model, remembered as long as it is known to hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

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

    Args:
        endpoint: Where and how to ask.
        lock: Of the kind that the client's transport acquires.
    """

    def __init__(self, endpoint: ModelEndpoint, lock: Lock) -> None:
        self._endpoint = endpoint
        self._lock = lock
        self._known: Description | None = None

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
        if digest is None:
            watch.start()
        return Description(model=model, digest=digest, losses=losses)
