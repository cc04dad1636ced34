"""Ask a server whether it is ready, and whether it is the one that is meant."""

from __future__ import annotations

import socket
from typing import Final

import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from tritonseg_engines.serving.config import Ports, ServerConfig

_TIMEOUT_S: Final = 1.0


def is_ready(
    config: ServerConfig, ports: Ports, *, server_id: str, held_back: bool = False
) -> bool:
    """Return True if a server with that `--id` is ready and listens on all of `ports`.

    One that is held back listens only once it has loaded its models, and is asked no more.

    Returns within about 5 s. Another server's answer does not count: it may have got hold of a
    given port while ours was still loading its models.
    """
    # Triton opens gRPC first, HTTP and metrics some 50 ms later. A plain connection comes before
    # any call over gRPC, too, which would wait ever longer between attempts at a closed port.
    host, metrics_host = local_address(config.host), local_address(config.metrics_host)
    addresses = [(metrics_host, ports.metrics), (host, ports.http), (host, ports.grpc)]
    if not all(_is_open(host, port) for host, port in addresses if port is not None):
        return False
    with triton_grpc.InferenceServerClient(f"{host}:{ports.grpc}") as client:
        try:
            is_up = client.is_server_live if held_back else client.is_server_ready
            ready = bool(is_up(client_timeout=_TIMEOUT_S))
            answering_id = client.get_server_metadata(client_timeout=_TIMEOUT_S).name
        except InferenceServerException:
            return False
    return ready and bool(answering_id == server_id)


def local_address(host: str) -> str:
    """Return where this machine reaches a server that listens on `host`."""
    return "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - compared, not listened on


def _is_open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _TIMEOUT_S).close()
    except OSError:
        return False
    return True
