"""Which build answers: told with every answer, so that no client names classes by another one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from tritonseg_steps.contract import (
    DIGEST_BYTES,
    DIGEST_PARAMETER,
    MODEL_DIGEST,
    MODEL_PARAMETER,
    NETWORK_SIZES_PARAMETER,
    PREPROCESSING_PARAMETER,
    PROVENANCE_PARAMETER,
    UPSAMPLING_PARAMETER,
)

if TYPE_CHECKING:
    from tritonseg_steps.model_config import ModelConfig


PUBLISHED: Final = (
    MODEL_PARAMETER, PREPROCESSING_PARAMETER, NETWORK_SIZES_PARAMETER, UPSAMPLING_PARAMETER,
    PROVENANCE_PARAMETER,
)  # fmt: skip
"""The parameters of the model that clients call which its digest is of."""


def published_digest(documents: Mapping[str, Any], *, fused: bool) -> str:
    """Return the SHA-256, in hexadecimal digits, of all that a client may remember of a model.

    Args:
        documents: What is `PUBLISHED`, by parameter, as JSON has it.
        fused: Whether the steps are in the graph, which decides the tensors that the model has.
    """
    text = json.dumps({"fused": fused, **documents}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class ModelDigest:
    """The digest of what a build published for its clients.

    Attributes:
        row: (32,) uint8, the SHA-256; None for a model that was built before answers had one.
    """

    row: NDArray[np.uint8] | None

    @classmethod
    def of(cls, config: ModelConfig, *, fused: bool = False) -> ModelDigest:
        """Read it off a step's config, and hold what is published beside it against it.

        Args:
            config: Of the step; the last one of an ensemble publishes nothing itself.
            fused: As for `published_digest`.

        Raises:
            RuntimeError: The config declares the output and has no digest for it, or what it
                publishes is of another: clients would name classes by another build, or version.
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
        if config.optional(MODEL_PARAMETER) is not None:
            documents = {key: config.parameter(key) for key in PUBLISHED}
            if published_digest(documents, fused=fused) != text:
                raise RuntimeError(
                    f"{config.name}: config.pbtxt was changed since the build: what it publishes "
                    f"({', '.join(PUBLISHED)}) is not what {DIGEST_PARAMETER!r} is of; "
                    "`tritonseg doctor` says where; put that back, or build the model again"
                )
        return cls(np.frombuffer(content, np.uint8))

    def answer(self, pictures: int) -> dict[str, NDArray[np.uint8]]:
        """Return MODEL_DIGEST, (N, 32) uint8: once for every picture; nothing where there is none.

        Args:
            pictures: Of one request.
        """
        return {} if self.row is None else {MODEL_DIGEST: np.tile(self.row, (pictures, 1))}
