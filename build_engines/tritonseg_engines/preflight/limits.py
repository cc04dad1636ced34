"""How long the compiler may take, and how much memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tritonseg_engines.tensorrt.errors import PlanOptionsError

MOST_SECONDS: Final = 365 * 24 * 3600
MOST_BYTES: Final = 2**60


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one compilation may take.

    Attributes:
        seconds: Of time.
        memory_bytes: Of address space, of which the compiler's own libraries take half a GiB.

    Raises:
        PlanOptionsError: One is 0 or less, or more than any machine has.
    """

    seconds: float = 600.0
    memory_bytes: int = 16 * 2**30

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= MOST_SECONDS or not 0 < self.memory_bytes <= MOST_BYTES:
            raise PlanOptionsError(
                f"limits: expected up to {MOST_SECONDS} seconds and {MOST_BYTES} bytes, got "
                f"{self.seconds:g} seconds and {self.memory_bytes} bytes"
            )
