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
from tritonseg_steps.int8_cpu import WEIGHT_BITS, Int8Cpu, this_int8_cpu

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
        cpu: What int8 weights for OpenVINO are made for; None for this machine's CPU.
        gpu_steps: Whether normalize and argmax run on the GPU as well.

    Raises:
        SpecificationError: There is no such precision, runtime or layout, or not together.
    """

    precision: str
    runtime: str
    layout: str
    cpu: Int8Cpu | None = None
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
        if self.cpu is not None and (self.runtime, self.precision) != (OPENVINO, "int8"):
            raise SpecificationError(
                "cpu: expected the runtime openvino and the precision int8, got "
                f"{self.runtime} and {self.precision}; leave out --cpu"
            )
        if self.gpu_steps and (self.runtime, self.layout) != (TENSORRT, ENSEMBLE):
            raise SpecificationError(
                "steps on the GPU: expected the runtime tensorrt and the layout ensemble, got "
                f"{self.runtime} and {self.layout}; leave out --gpu-steps"
            )

    @property
    def int8_cpu(self) -> Int8Cpu:
        """What int8 weights are made for; asks this machine where nobody said."""
        return self.cpu or this_int8_cpu()

    @property
    def weight_bits(self) -> int:
        """How many bits int8 weights use: a GPU takes all 8."""
        return WEIGHT_BITS[self.int8_cpu] if self.runtime == OPENVINO else 8

    def require_this_cpu(self) -> None:
        """Refuse weights that this machine computes wrongly, so that nothing could judge them.

        Raises:
            SpecificationError: They are for CPUs with VNNI, and this one has none.
        """
        if self.cpu is Int8Cpu.VNNI and this_int8_cpu() is not Int8Cpu.VNNI:
            raise SpecificationError(
                "cpu vnni: expected a CPU with VNNI to judge the build on, this one has AVX2 only; "
                "build it on one that has, or with --cpu avx2, which is right on every CPU"
            )

    @property
    def is_fused(self) -> bool:
        """Whether the steps go into the engine's graph."""
        return self.layout == FUSED
