"""Ask a server for its health as Kubernetes does: by gRPC's own protocol, not Triton's."""

from __future__ import annotations

from typing import Final

import grpc

METHOD: Final = "/grpc.health.v1.Health/Check"
"""Source: grpc/health/v1/health.proto. An empty request asks for the whole server."""
STATES: Final = {b"": "UNKNOWN", b"\x08\x01": "SERVING", b"\x08\x02": "NOT_SERVING"}
"""`HealthCheckResponse` on the wire: field 1, a varint; left out where it is 0."""


def health(url: str, *, timeout_s: float) -> str:
    """Return SERVING, NOT_SERVING or UNKNOWN, or why there is no answer in one line.

    Args:
        url: `HOST:PORT` of the server's gRPC.
        timeout_s: For the whole call.
    """
    with grpc.insecure_channel(url) as channel:
        # Bytes in, bytes out: the generated stub would be one more package for two bytes.
        check = channel.unary_unary(METHOD)
        try:
            answer = check(b"", timeout=timeout_s)
        except grpc.RpcError as error:
            return f"{url}: no answer ({error.code().name})"
    return STATES.get(answer, f"{url}: expected a health state, got {answer!r}")
