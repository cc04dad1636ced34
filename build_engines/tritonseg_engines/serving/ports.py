"""Ports that are still free when the server gets round to listening.

Triton listens only once all models are loaded, seconds to minutes after its start. A port that
was merely looked up can be gone by then. So the launcher holds each port, bound but not
listening, until the server is ready: nobody else is handed it, neither as a free port nor as the
source of an outgoing connection, while the server may listen on it, because both sockets carry
SO_REUSEADDR.

Source: `inet_csk_get_port` and `__inet_hash_connect` in Linux; checked with Triton 2.51.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Final

from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.serving.config import Ports, ServerConfig

_REASONS: Final = {
    errno.EADDRINUSE: "is in use; stop what listens there, or give another one (0 for a free one)",
    errno.EACCES: "needs privileges; give one above 1023 (0 for a free one)",
}


@contextlib.contextmanager
def reserved_ports(config: ServerConfig) -> Iterator[Ports]:
    """Hold the ports that `config` asks for while the block runs.

    Raises:
        ServerStartError: A given port is in use, or the host is not an address of this machine.
    """
    endpoints = [
        ("gRPC", config.host, config.grpc_port),
        ("HTTP", config.host, config.http_port),
        ("metrics", config.metrics_host, config.metrics_port),
    ]
    # Given ports first: a free one must not be one that is asked for by number.
    endpoints.sort(key=lambda endpoint: not endpoint[2])
    ports: dict[str, int] = {}
    with contextlib.ExitStack() as held:
        for protocol, host, port in endpoints:
            if port is not None:
                reservation = held.enter_context(_reserve(protocol, host, port))
                ports[protocol] = reservation.getsockname()[1]
        yield Ports(grpc=ports["gRPC"], http=ports.get("HTTP"), metrics=ports.get("metrics"))


def _reserve(protocol: str, host: str, port: int) -> socket.socket:
    reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if port:
            # Connections of the previous server on it may linger in TIME_WAIT, which is no reason
            # to refuse. A free port, on the contrary, must be shared with nobody.
            _allow_reuse(reservation)
        reservation.bind((host, port))
        _allow_reuse(reservation)
    except OSError as error:
        reservation.close()
        reason = _REASONS.get(error.errno or 0)
        if reason is None:
            raise ServerStartError(
                f"cannot listen on host {host!r} ({error}); give an IPv4 address or a name of "
                "this machine, such as 127.0.0.1, or 0.0.0.0 for all of them"
            ) from error
        raise ServerStartError(f"{protocol} port {port} on {host} {reason}") from error
    return reservation


def _allow_reuse(reservation: socket.socket) -> None:
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
