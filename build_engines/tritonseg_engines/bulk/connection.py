"""Clients of one server, or of several at once."""

from __future__ import annotations

import socket

from tritonseg import SegmentationClient
from tritonseg_engines.bulk.job import Making, Servers
from tritonseg_engines.errors import BulkError


def client_of(
    servers: Servers, making: Making, address: str, *, model: str, version: str | None
) -> SegmentationClient:
    """Return a client of one address."""
    return SegmentationClient(
        address,
        model=model,
        model_version=version,
        timeout_s=servers.timeout_s,
        transport=making.transport,
        limits=making.limits,
        **servers.access.client_arguments,
    )


def address_of(servers: Servers) -> str:
    """Return one address for all servers, of which gRPC takes turns.

    Raises:
        BulkError: They cannot be put into one, or a name is not known here.
    """
    if len(servers.urls) == 1:
        return servers.urls[0]
    if servers.access.is_encrypted:
        raise BulkError(
            "several --url over TLS cannot be told apart by their certificates: give one "
            "'dns:///NAME:PORT' whose addresses are all servers"
        )
    addresses = dict.fromkeys(address for url in servers.urls for address in _addresses(url))
    return "ipv4:" + ",".join(addresses)


def _addresses(url: str) -> list[str]:
    host, colon, port = url.rpartition(":")
    if not colon or not port.isdigit() or ":" in host or "/" in url:
        raise BulkError(f"several --url must each be 'host:port', got {url!r}")
    try:
        found = socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise BulkError(f"{url}: {error.strerror or error}") from error
    return [f"{address[0]!s}:{port}" for *_, address in found]
