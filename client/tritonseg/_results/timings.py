"""How long a call took."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Where the time of one call went, in seconds.

    Attributes:
        read_s: Reading and decoding the picture here.
        attempt_s: The attempt that succeeded: the way to the server and back, and its work.
        total_s: The whole call, with failed attempts and the pauses behind them.
        attempts: How often the picture was sent.
    """

    read_s: float
    attempt_s: float
    total_s: float
    attempts: int
