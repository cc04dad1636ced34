"""Whether a connection was lost between two calls: gRPC reconnects without a word."""

from __future__ import annotations

import threading
import time
from typing import Final

import grpc

_POLL_S: Final = 0.25
"""A little over the 0.2 s in which gRPC's thread looks at a channel and whether it still has to.
Closed under it, the channel makes that thread end with a traceback (grpcio 1.85)."""


class ConnectionWatch:
    """Counts from `start` on how often a channel lost its connection.

    It costs a thread of gRPC's that wakes five times a second, so it is started only for models
    that do not say themselves which build answers.

    Args:
        channel: The channel to watch.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._is_running = False
        self.losses = 0

    def start(self) -> None:
        """Begin to count, unless that has begun."""
        with self._lock:
            if not self._is_running:
                self._is_running = True
                self._channel.subscribe(self._note)

    def stop(self) -> None:
        """End the watch, before the channel is closed."""
        with self._lock:
            if self._is_running:
                self._is_running = False
                self._channel.unsubscribe(self._note)
                time.sleep(_POLL_S)

    def _note(self, state: grpc.ChannelConnectivity) -> None:
        if state is not grpc.ChannelConnectivity.READY:
            self.losses += 1
