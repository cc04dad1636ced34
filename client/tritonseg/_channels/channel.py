"""How a channel to a server, or to several, is set up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

import grpc
import grpc.aio

from .._config import MAX_MESSAGE_BYTES
from .._connection import MANY_SERVERS, CompressionName
from .._settings import ClientSettings
from .._version import __version__

CONNECT_TIMEOUT_S: Final = 5.0
MAX_RECONNECT_DELAY_S: Final = 1.0
LEAST_PING_AFTER_S: Final = 5.0
"""Of silence during a call."""
PINGS_PER_CALL: Final = 3
"""Until its time-out. A server ends a connection with the fourth ping in five minutes without data.

Source: gRPC's "Client-side keepalive" (proposal A8) and its server's defaults, which are Triton's,
two strikes after the first ping; seen, with pings every 5 s, after 185 s.
"""
LEAST_PING_TIMEOUT_S: Final = 5.0

_TURNS: Final[dict[str, dict[str, str]]] = {"round_robin": {}}
_TURNS_OF_THE_WELL: Final = {
    "outlier_detection_experimental": {
        "interval": "2s",
        "baseEjectionTime": "5s",
        "maxEjectionTime": "30s",
        "maxEjectionPercent": 50,
        # Of a server that is sick nearly everything fails; of one that is overloaded, a part, and
        # to leave that one out would overload the others.
        "failurePercentageEjection": {"threshold": 95, "minimumHosts": 2, "requestVolume": 3},
        "childPolicy": [_TURNS],
    }
}
"""Servers take turns, and one that answers with nothing but errors is left out for a while.

Source: gRPC's proposal A50, "Outlier Detection", and its names for the fields.
"""

_MAPS_PER_ANSWER: Final = 2
"""Class map and confidence, a byte a pixel each."""
_MAX_CONFIG_BYTES: Final = 16 * 2**20
_COMPRESSIONS: Final = {
    "none": grpc.Compression.NoCompression,
    "gzip": grpc.Compression.Gzip,
    "deflate": grpc.Compression.Deflate,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """What both kinds of channel are made with.

    Attributes:
        address: As the clients' `url`.
        max_response_bytes: Largest answer to receive, beside a few fields.
        credentials: TLS; without them the connection is in the clear.
        headers: Sent with every call; secret.
        compression: Of what is sent.
        timeout_s: Of calls, as the client has it.
    """

    address: str
    max_response_bytes: int
    credentials: grpc.ChannelCredentials | None
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    compression: CompressionName
    timeout_s: float

    @classmethod
    def of(cls, settings: ClientSettings) -> ChannelSettings:
        """Return those of a client."""
        return cls(
            address=settings.address,
            max_response_bytes=_MAPS_PER_ANSWER * settings.limits.max_pixels,
            credentials=settings.credentials,
            headers=settings.headers,
            compression=settings.compression,
            timeout_s=settings.timeout_s,
        )

    @property
    def grpc_compression(self) -> grpc.Compression:
        """`compression` as gRPC takes it."""
        return _COMPRESSIONS[self.compression]

    def open(self) -> grpc.Channel:
        """Return a channel for threads."""
        if self.credentials is None:
            return grpc.insecure_channel(self.address, self._options)
        return grpc.secure_channel(self.address, self.credentials, self._options)

    def open_in_loop(self) -> grpc.aio.Channel:
        """Return a channel for the event loop that runs."""
        if self.credentials is None:
            return grpc.aio.insecure_channel(self.address, self._options)
        return grpc.aio.secure_channel(self.address, self.credentials, self._options)

    @property
    def ping_after_s(self) -> float:
        """Seconds of silence after which a call asks whether the server is there."""
        return max(self.timeout_s / PINGS_PER_CALL, LEAST_PING_AFTER_S)

    @property
    def ping_timeout_s(self) -> float:
        """Seconds without an answer to a ping after which a connection is given up."""
        return max(self.timeout_s / 2, LEAST_PING_TIMEOUT_S)

    @property
    def _balancing(self) -> list[tuple[str, int | str]]:
        if self.address.startswith(MANY_SERVERS):
            config = {"loadBalancingConfig": [_TURNS_OF_THE_WELL]}
            return [("grpc.service_config", json.dumps(config))]
        # Of one server gRPC's default notices sooner that it is back: every call tries to connect.
        return [("grpc.lb_policy_name", "pick_first")]

    @property
    def _options(self) -> list[tuple[str, int | str]]:
        return [
            *self._balancing,
            # A server that is frozen, or a way there that is cut, answers no ping. The pictures
            # that are sent may be in front of it, on a thin link for many seconds.
            ("grpc.keepalive_time_ms", int(self.ping_after_s * 1000)),
            ("grpc.http2.ping_timeout_ms", int(self.ping_timeout_s * 1000)),
            # Without these two, gRPC's own limit of 4 MiB for what is received would hold.
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            (
                "grpc.max_receive_message_length",
                min(self.max_response_bytes + _MAX_CONFIG_BYTES, MAX_MESSAGE_BYTES),
            ),
            # gRPC's name for how long one attempt to connect may take, despite the "min".
            ("grpc.min_reconnect_backoff_ms", int(CONNECT_TIMEOUT_S * 1000)),
            ("grpc.initial_reconnect_backoff_ms", 100),
            # gRPC's own 120 s would leave a client out long after its server is back.
            ("grpc.max_reconnect_backoff_ms", int(MAX_RECONNECT_DELAY_S * 1000)),
            # A proxy of the environment's is for the web, and this is for servers of one's own.
            ("grpc.enable_http_proxy", 0),
            # Otherwise all clients of a process share one connection, and its backoff.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.primary_user_agent", f"tritonseg/{__version__}"),
        ]
