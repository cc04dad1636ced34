"""What a build is for: precision, runtime, and how the steps stand to the engine."""

from __future__ import annotations

from dataclasses import dataclass

from tritonseg_engines.errors import SpecificationError
from tritonseg_engines.repository.deployment import (
    ENSEMBLE,
    FUSED,
    LAYOUTS,
    OPENVINO,
    SINGLE,
    TENSORRT,
)

PRECISIONS = ("fp32", "fp16", "int8")
RUNTIMES = (OPENVINO, TENSORRT)
FASTEST_LAYOUT = {OPENVINO: SINGLE, TENSORRT: ENSEMBLE}
"""By runtime; docs/benchmarks.md has the figures. TensorRT's backend runs no Python."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildTarget:
    """One combination that can be built.

    Attributes:
        precision: One of `PRECISIONS`.
        runtime: One of `RUNTIMES`.
        layout: One of `LAYOUTS`.
        gpu_steps: Whether normalize and argmax run on the GPU as well.

    Raises:
        SpecificationError: There is no such precision, runtime or layout, or not together.
    """

    precision: str
    runtime: str
    layout: str
    gpu_steps: bool = False

    def __post_init__(self) -> None:
        for what, allowed in (
            ("precision", PRECISIONS),
            ("runtime", RUNTIMES),
            ("layout", LAYOUTS),
        ):
            value = getattr(self, what)
            if value not in allowed:
                raise SpecificationError(
                    f"{what}: expected one of {', '.join(allowed)}, got {value!r}"
                )
        if self.layout == SINGLE and self.runtime != OPENVINO:
            raise SpecificationError(
                f"layout single: expected the runtime openvino, got {self.runtime!r}; Triton's own "
                "backend runs TensorRT, and the steps are models beside it: build it with "
                "--layout ensemble"
            )
        if self.gpu_steps and (self.runtime, self.layout) != (TENSORRT, ENSEMBLE):
            raise SpecificationError(
                "steps on the GPU: expected the runtime tensorrt and the layout ensemble, got "
                f"{self.runtime} and {self.layout}; leave out --gpu-steps"
            )

    @property
    def is_fused(self) -> bool:
        """Whether the steps go into the engine's graph."""
        return self.layout == FUSED
