"""What a client is made with, from its arguments and from the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import grpc

from ._attempt import AttemptHook
from ._config import (
    ImageLimits,
    RetryPolicy,
    check_duration,
    check_kind,
    check_model_name,
    check_model_version,
)
from ._connection import (
    CompressionName,
    TransportName,
    check_address,
    check_compression,
    check_headers,
    check_transport,
)
from ._environment import blaming_environment, from_environment
from ._errors import ConfigurationError

_Client = TypeVar("_Client")
_Value = TypeVar("_Value")

_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """What a client was made with, checked.

    Attributes:
        address: As the clients' `url`.
        model: As theirs; empty for None.
        model_version: As theirs; empty for None.
        timeout_s: As theirs.
        retry: As theirs.
        limits: As theirs.
        transport: As theirs.
        compression: As theirs.
        credentials: As theirs.
        headers: Sent with every call, the token among them; secret.
        on_attempt: As theirs.
        tracing: As theirs.

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
    compression: CompressionName
    credentials: grpc.ChannelCredentials | None
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    on_attempt: AttemptHook | None
    tracing: bool

    @classmethod
    def of(
        cls,
        url: str | None,
        *,
        model: str | None,
        model_version: str | None,
        timeout_s: float | None,
        retry: RetryPolicy | None,
        limits: ImageLimits | None,
        transport: TransportName | None,
        compression: CompressionName | None,
        credentials: grpc.ChannelCredentials | None,
        headers: Mapping[str, str] | None,
        token: str | None,
        on_attempt: AttemptHook | None,
        tracing: bool,
    ) -> ClientSettings:
        """Check the arguments of a client; the environment and defaults stand in for None."""
        check_kind("credentials", credentials, (grpc.ChannelCredentials, type(None)))
        if on_attempt is not None and not callable(on_attempt):
            raise ConfigurationError(f"on_attempt must be callable, got {on_attempt!r}")
        address = _address(url)
        return cls(
            address=address,
            model=_chosen("model", model, check_model_name, ""),
            # That of the variable is a version of the variable's model.
            model_version=_chosen("model_version", model_version, check_model_version, "")
            if model is None
            else check_model_version(model_version),
            timeout_s=_chosen("timeout_s", timeout_s, _check_timeout, _TIMEOUT_S, _number),
            retry=check_kind("retry", RetryPolicy() if retry is None else retry, RetryPolicy),
            limits=check_kind("limits", ImageLimits() if limits is None else limits, ImageLimits),
            transport=_chosen(
                "transport", transport, partial(check_transport, address=address), "raw"
            ),
            compression=_chosen("compression", compression, check_compression, "none"),
            credentials=credentials,
            headers=_headers(
                headers,
                token,
                is_secure=credentials is not None,
                is_of_environment=url is None,
            ),
            on_attempt=on_attempt,
            tracing=check_kind("tracing", tracing, bool),
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
            "model": self.model or None,
            "model_version": self.model_version or None,
            "timeout_s": self.timeout_s,
            "retry": self.retry,
            "limits": self.limits,
            "transport": self.transport,
            "compression": self.compression,
            "headers": dict(self.headers),
            "on_attempt": self.on_attempt,
            "tracing": self.tracing,
        }

    def repr_of(self, client: object) -> str:
        """Return what a client with these settings prints as."""
        model = f", model={self.model!r}" if self.model else ""
        return f"{type(client).__name__}({self.address!r}{model})"


def remade(kind: Callable[..., _Client], arguments: Mapping[str, Any]) -> _Client:
    """Return a client of its arguments, as pickle makes it anew."""
    return kind(**arguments)


def _address(url: str | None) -> str:
    address = _chosen("url", url, check_address, "")
    if not address:
        raise ConfigurationError(
            "which server? give its gRPC address, as in 'localhost:8001', or set TRITONSEG_URL"
        )
    return address


def _headers(
    headers: Mapping[str, str] | None,
    token: str | None,
    *,
    is_secure: bool,
    is_of_environment: bool,
) -> tuple[tuple[str, str], ...]:
    own = check_headers(headers, token, is_secure=is_secure)
    # The variable's token is for the variable's server, and for no other.
    given = from_environment("token") if is_of_environment else None
    if given is None or "authorization" in dict(own):
        return own
    with blaming_environment("token"):
        return check_headers(headers, given, is_secure=is_secure)


def _chosen(
    argument: str,
    value: Any,
    check: Callable[[Any], _Value],
    default: _Value,
    read: Callable[[str], Any] = str,
) -> _Value:
    """Return an argument, what the environment gives for it, or the default; checked."""
    if value is not None:
        return check(value)
    given = from_environment(argument)
    if given is None:
        return default
    with blaming_environment(argument):
        return check(read(given))


def _check_timeout(timeout_s: float) -> float:
    return check_duration("timeout_s", timeout_s)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # which is refused with the same words as any other value
