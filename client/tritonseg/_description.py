"""What the server says about its model, remembered as long as it is known to hold."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from tritonclient.grpc import service_pb2

from ._deadline import Deadline
from ._errors import SegmentationError, TransportError
from ._metadata import (
    ModelInfo,
    latest_version,
    parameters_of,
    parse_digest,
    parse_model_info,
)
from ._protocol import check_tensors, read_digest
from ._transport import GrpcTransport


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
    return model, parse_digest(metadata.name, parameters) if optional.digest else None


class RememberedDescription:
    """Asked for once, and again where it may have changed; safe to share between threads.

    Args:
        transport: The connection to its server.
    """

    def __init__(self, transport: GrpcTransport) -> None:
        self._transport = transport
        self._known: Description | None = None
        self._lock = threading.Lock()

    @property
    def remembered(self) -> Description | None:
        """What is known and still holds."""
        known = self._known
        if known is None or known.digest is not None:
            return known
        return known if known.losses == self._transport.watch.losses else None

    def current(self, deadline: Deadline) -> Description:
        """Return what is remembered, or ask the server, without retries."""
        if (known := self.remembered) is not None:
            return known
        # Another thread may be asking, with a later deadline than this call's.
        while not self._lock.acquire(timeout=deadline.require_s()):
            continue
        try:
            if (known := self.remembered) is None:
                known = self._known = self._fetch(deadline)
            return known
        finally:
            self._lock.release()

    def forget(self, description: Description) -> None:
        """Ask again next time, unless another thread has done so since."""
        # Without the lock, which a thread that asks may hold for longer than this call has.
        if self._known is description:
            self._known = None

    def _fetch(self, deadline: Deadline) -> Description:
        watch = self._transport.watch
        losses = watch.losses
        metadata = self._transport.fetch_metadata(deadline.require_s())
        parameters = self._transport.fetch_parameters(deadline.require_s())
        model, digest = read_published(metadata, parameters, self._transport.model_version)
        if digest is None:
            watch.start()
        return Description(model=model, digest=digest, losses=losses)
