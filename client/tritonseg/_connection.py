"""Where a server is, what it wants to see of who asks, and how pictures travel there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from ._config import check_choice, check_kind
from ._errors import ConfigurationError

MANY_SERVERS: Final = ("dns:", "ipv4:")
"""How addresses begin that may stand for several servers."""

TransportName: TypeAlias = Literal["raw", "encoded", "shared_memory"]
CompressionName: TypeAlias = Literal["none", "gzip", "deflate"]

_ADDRESS: Final = re.compile(
    r"(?:dns:(?://(?:[A-Za-z0-9.-]+(?::\d{1,5})?)?/)?)?"
    r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?):(\d{1,5})"
)
_ADDRESSES: Final = re.compile(r"ipv4:(?:\d{1,3}(?:\.\d{1,3}){3}:\d{1,5},?)+(?<!,)")
_SOCKET: Final = re.compile(r"unix:(?://)?/[^\0]{1,106}")
"""Of an absolute path, which Linux limits to 107 bytes. Source: unix(7)."""
_HEADER_NAME: Final = re.compile(r"(?!grpc-)[0-9a-z_.-]{1,256}(?<!-bin)")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]{0,8192}")
"""Source: the gRPC protocol over HTTP/2, "Custom-Metadata"."""


def check_transport(transport: TransportName, address: str) -> TransportName:
    """Return `transport`, or raise `ConfigurationError` unless there is such a way to a server."""
    if transport not in ("raw", "encoded", "shared_memory"):
        raise ConfigurationError(
            "transport must be 'raw' (send pixels), 'encoded' (send image files as they are) or "
            f"'shared_memory' (share pixels with a server on this host), got {transport!r}"
        )
    if transport == "shared_memory" and address.startswith(MANY_SERVERS):
        raise ConfigurationError(
            f"transport='shared_memory' is for one server on this host, and {address!r} may be "
            "several: give 'host:port' or 'unix:/path'"
        )
    return transport


def check_compression(compression: CompressionName) -> CompressionName:
    """Return `compression`, or raise `ConfigurationError` unless gRPC has it."""
    check_choice("compression", compression, ("none", "gzip", "deflate"))
    return compression


def check_address(address: str) -> str:
    """Return `address`, or raise `ConfigurationError` unless it is one of those of `url`."""
    if isinstance(address, str):
        match = _ADDRESS.fullmatch(address)
        if match and 0 < int(match[1]) < 65_536:
            return address
        if _SOCKET.fullmatch(address) or _ADDRESSES.fullmatch(address):
            return address
        if "://" in address:
            raise ConfigurationError(
                f"the server's gRPC address is 'host:port' without a scheme, got {address!r}; "
                "Triton serves gRPC on port 8001 by default and HTTP on 8000"
            )
    raise ConfigurationError(
        "the server's gRPC address must be 'host:port' (as in 'localhost:8001', '[::1]:8001'), "
        "'dns:///name:port', 'ipv4:address:port,address:port' or 'unix:/path', "
        f"got {address!r}"
    )


def check_headers(
    headers: Mapping[str, str] | None, token: str | None, *, is_secure: bool
) -> tuple[tuple[str, str], ...]:
    """Return what to send with every call, or raise `ConfigurationError` if it cannot be sent."""
    sent = dict(check_kind("headers", {} if headers is None else headers, Mapping))
    if token is not None:
        if not isinstance(token, str) or not token:
            raise ConfigurationError("token must be a string that is not empty")
        if not is_secure:
            raise ConfigurationError(
                "token= goes over an encrypted connection only: give credentials= as well, or, if "
                "something else encrypts, headers={'authorization': 'Bearer ...'}"
            )
        sent["authorization"] = f"Bearer {token}"
    for name, value in sent.items():
        if not is_header_name(name):
            raise ConfigurationError(
                "a header's name must be of a-z (lower case) 0-9 _ . -, not begin with 'grpc-' and "
                "not end with '-bin'; one of them is not"  # and may be a secret in the wrong place
            )
        if not is_header_value(value):
            raise ConfigurationError(  # the value may be a secret
                f"the value of header {name!r} must be printable ASCII of up to 8192 characters"
            )
    return tuple(sent.items())


def is_header_name(name: object) -> bool:
    """Return whether gRPC sends a header of that name."""
    return isinstance(name, str) and _HEADER_NAME.fullmatch(name) is not None


def is_header_value(value: object) -> bool:
    """Return whether gRPC sends a header of that value."""
    return isinstance(value, str) and _HEADER_VALUE.fullmatch(value) is not None
