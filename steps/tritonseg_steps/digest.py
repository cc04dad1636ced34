"""Which build answers: told with every answer, so that no client names classes by another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tritonseg_steps.contract import DIGEST_BYTES, DIGEST_PARAMETER, MODEL_DIGEST

if TYPE_CHECKING:
    from tritonseg_steps.model_config import ModelConfig


@dataclass(frozen=True, slots=True, eq=False)
class ModelDigest:
    """The digest of what a build published for its clients.

    Attributes:
        row: (32,) uint8, the SHA-256; None for a model that was built before answers had one.
    """

    row: NDArray[np.uint8] | None

    @classmethod
    def of(cls, config: ModelConfig) -> ModelDigest:
        """Read it off a step's config.

        Raises:
            RuntimeError: The config declares the output and has no digest for it.
        """
        if MODEL_DIGEST not in config.outputs:
            return cls(None)
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

    def answer(self, pictures: int) -> dict[str, NDArray[np.uint8]]:
        """Return MODEL_DIGEST, (N, 32) uint8: once for every picture; nothing where there is none.

        Args:
            pictures: Of one request.
        """
        return {} if self.row is None else {MODEL_DIGEST: np.tile(self.row, (pictures, 1))}
