"""What both clients are, apart from how they wait."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import grpc

from ._config import (
    ImageLimits,
    RetryPolicy,
    TransportName,
    check_address,
    check_duration,
    check_headers,
    check_kind,
    check_model_name,
    check_model_version,
    check_request_id,
    check_transport,
)
from ._deadline import Deadline
from ._endpoint import LossCounter, ModelEndpoint
from ._errors import ConfigurationError, SegmentationError
from ._flow import Lock
from ._image import ImageSource, read_image, read_sendable
from ._picture import Picture
from ._remote_model import RemoteModel

_Client = TypeVar("_Client")

_MAPS_PER_ANSWER: Final = 2
"""Class map and confidence, a byte a pixel each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """What a client was made with, checked.

    Attributes:
        address: As the clients' `url`.
        model: As theirs.
        model_version: As theirs; empty for None.
        timeout_s: As theirs.
        retry: As theirs.
        limits: As theirs.
        transport: As theirs.
        credentials: As theirs.
        headers: Sent with every call, the token among them; secret.

    Raises:
        ConfigurationError: One of them can never work.
    """

    address: str
    model: str
    model_version: str
    timeout_s: float
    retry: RetryPolicy
    limits: ImageLimits
    transport: TransportName
    credentials: grpc.ChannelCredentials | None
    headers: tuple[tuple[str, str], ...] = field(repr=False)

    @classmethod
    def of(
        cls,
        url: str,
        *,
        model: str,
        model_version: str | None,
        timeout_s: float,
        retry: RetryPolicy | None,
        limits: ImageLimits | None,
        transport: TransportName,
        credentials: grpc.ChannelCredentials | None,
        headers: Mapping[str, str] | None,
        token: str | None,
    ) -> ClientSettings:
        """Check the arguments of a client, and put defaults in the place of None."""
        return cls(
            address=check_address(url),
            model=check_model_name(model),
            model_version=check_model_version(model_version),
            timeout_s=check_duration("timeout_s", timeout_s),
            retry=check_kind("retry", RetryPolicy() if retry is None else retry, RetryPolicy),
            limits=check_kind("limits", ImageLimits() if limits is None else limits, ImageLimits),
            transport=check_transport(transport),
            credentials=check_kind(
                "credentials", credentials, (grpc.ChannelCredentials, type(None))
            ),
            headers=check_headers(headers, token, is_secure=credentials is not None),
        )

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a client with these settings, in another process.

        Raises:
            ConfigurationError: Credentials are among them, which gRPC keeps in this process.
        """
        if self.credentials is not None:
            raise ConfigurationError(
                "credentials cannot be sent to another process: make the client there, with "
                "credentials of its own"
            )
        return {
            "url": self.address,
            "model": self.model,
            "model_version": self.model_version or None,
            "timeout_s": self.timeout_s,
            "retry": self.retry,
            "limits": self.limits,
            "transport": self.transport,
            "headers": dict(self.headers),
        }

    @property
    def max_response_bytes(self) -> int:
        """Largest answer to receive, beside a few fields."""
        return _MAPS_PER_ANSWER * self.limits.max_pixels

    def remote_model(self, watch: LossCounter, lock: Lock) -> RemoteModel:
        """Return the model, asked through a transport's own watch and kind of lock."""
        endpoint = ModelEndpoint(
            address=self.address, name=self.model, version=self.model_version, watch=watch
        )
        return RemoteModel(endpoint, retry=self.retry, lock=lock)

    def read(self, image: ImageSource) -> Picture:
        """Read a picture, a file only as far as it must be read to be sent."""
        read = read_sendable if self.transport == "encoded" else read_image
        return read(image, self.limits)

    def deadline(self, timeout_s: float | None) -> Deadline:
        """Return the deadline of a call that begins now; None for the client's own time-out."""
        if timeout_s is None:
            return Deadline(self.timeout_s)
        return Deadline(check_duration("timeout_s", timeout_s))

    @contextlib.contextmanager
    def attributed(self, request_id: str | None) -> Iterator[None]:
        """Write into every error of a call to which model and request it belongs."""
        try:
            yield
        except SegmentationError as error:
            error.model_name = self.model
            error.request_id = request_id
            raise


def remade(kind: Callable[..., _Client], arguments: Mapping[str, Any]) -> _Client:
    """Return a client of its arguments, as pickle makes it anew."""
    return kind(**arguments)


def request_id_of(given: str | None) -> str:
    """Return the identifier of a request; one is made up for None.

    Raises:
        ConfigurationError: It is not fit for logs.
    """
    return uuid.uuid4().hex if given is None else check_request_id(given)
