"""Which build answers: told with every answer, so that no client names classes by another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tritonseg_steps.contract import DIGEST_BYTES, DIGEST_PARAMETER

if TYPE_CHECKING:
    from tritonseg_steps.step import ModelConfig


@dataclass(frozen=True, slots=True, eq=False)
class ModelDigest:
    """The digest of what a build published for its clients.

    Attributes:
        row: (32,) uint8, the SHA-256.
    """

    row: NDArray[np.uint8]

    @classmethod
    def of(cls, config: ModelConfig) -> ModelDigest:
        """Read it off a step's config.

        Raises:
            RuntimeError: The config has none, or something else in its place.
        """
        text = config.parameter(DIGEST_PARAMETER)
        try:
            content = bytes.fromhex(text)
        except (TypeError, ValueError):
            content = b""
        if len(content) != DIGEST_BYTES:
            raise RuntimeError(
                f"{config.name}: parameter {DIGEST_PARAMETER!r}: expected 64 hexadecimal digits, "
                f"got {text!r}; build the model again with `tritonseg build`"
            )
        return cls(np.frombuffer(content, np.uint8))

    def repeated(self, pictures: int) -> NDArray[np.uint8]:
        """Return it once for every picture of a request: (N, 32) uint8."""
        return np.tile(self.row, (pictures, 1))
