"""What a server wants to see of who calls, in a form that goes to other processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a client of the server is made with; secrets, never printed.

    Attributes:
        headers: Sent with every call.
        token: Sent as a bearer's, over TLS only; None for none.
        tls: Whether the connection is encrypted; certificates imply it.
        ca: Certificates (PEM) that the server's has to come from; None for the system's.
        cert: The client's own certificate (PEM), with `key`; None for none.
        key: Its private key (PEM).
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: bytes | None = field(default=None, repr=False)
    cert: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)

    @property
    def is_encrypted(self) -> bool:
        """Whether calls go over TLS."""
        return self.tls or self.ca is not None or self.cert is not None

    @property
    def client_arguments(self) -> dict[str, Any]:
        """The arguments of a `SegmentationClient`, which cannot leave this process."""
        credentials = None
        if self.is_encrypted:
            credentials = grpc.ssl_channel_credentials(self.ca, self.key, self.cert)
        return {"headers": dict(self.headers), "token": self.token, "credentials": credentials}
