"""What is built: precision, runtime, and how the steps stand to the engine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from tritonseg_engines.errors import SpecificationError
from tritonseg_steps.int8_cpu import WEIGHT_BITS, Int8Cpu, this_int8_cpu


class _Word(str, Enum):
    """A word of the command line, of configs and of manifests."""

    def __str__(self) -> str:
        return str(self.value)


class Precision(_Word):
    """What the network computes in."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Runtime(_Word):
    """What runs the engine: OpenVINO on a CPU, TensorRT on a GPU."""

    OPENVINO = "openvino"
    TENSORRT = "tensorrt"


class ServingLayout(_Word):
    """How the steps stand to the engine.

    ENSEMBLE: four Triton models, of which three are steps. SINGLE: one model that runs the steps
    in its own process. FUSED: one model with the steps in the engine's graph.
    """

    ENSEMBLE = "ensemble"
    SINGLE = "single"
    FUSED = "fused"


DEFAULT_LAYOUT = {
    Runtime.OPENVINO: ServingLayout.SINGLE,
    Runtime.TENSORRT: ServingLayout.ENSEMBLE,
}
"""The fastest of each; docs/benchmarks.md has the figures. TensorRT's backend runs no Python."""

_AnyWord = TypeVar("_AnyWord", bound=_Word)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildTarget:
    """One combination that can be built.

    Attributes:
        precision: Of the network.
        runtime: Of the engine.
        layout: Of the steps.
        cpu: What int8 weights for OpenVINO are made for; None for this machine's CPU.
        gpu_argmax: Whether argmax runs on the GPU as well.

    Raises:
        SpecificationError: These do not go together.
    """

    precision: Precision
    runtime: Runtime
    layout: ServingLayout
    cpu: Int8Cpu | None = None
    gpu_argmax: bool = False

    def __post_init__(self) -> None:
        if self.layout is ServingLayout.SINGLE and self.runtime is not Runtime.OPENVINO:
            raise SpecificationError(
                f"layout single: expected the runtime openvino, got '{self.runtime}'; Triton's own "
                "backend runs TensorRT, and the steps are models beside it: build it with "
                "--layout ensemble"
            )
        if self.cpu is not None and not (
            self.runtime is Runtime.OPENVINO and self.precision is Precision.INT8
        ):
            raise SpecificationError(
                "cpu: expected the runtime openvino and the precision int8, got "
                f"{self.runtime} and {self.precision}; leave out --cpu"
            )
        if self.gpu_argmax and not (
            self.runtime is Runtime.TENSORRT and self.layout is ServingLayout.ENSEMBLE
        ):
            raise SpecificationError(
                "argmax on the GPU: expected the runtime tensorrt and the layout ensemble, got "
                f"{self.runtime} and {self.layout}; leave out --gpu-argmax"
            )

    @classmethod
    def of(
        cls,
        precision: str = Precision.FP32,
        runtime: str = Runtime.OPENVINO,
        layout: str | None = None,
        *,
        cpu: Int8Cpu | None = None,
        gpu_argmax: bool = False,
    ) -> BuildTarget:
        """Return the target that words mean.

        Args:
            precision: Value of a `Precision`.
            runtime: Value of a `Runtime`.
            layout: Value of a `ServingLayout`; None for the runtime's default.
            cpu: What int8 weights for OpenVINO are made for; None for this machine's CPU.
            gpu_argmax: Whether argmax runs on the GPU as well.

        Raises:
            SpecificationError: A word means nothing, or they do not go together.
        """
        on = _parse("runtime", Runtime, runtime)
        return cls(
            precision=_parse("precision", Precision, precision),
            runtime=on,
            layout=_parse("layout", ServingLayout, layout or DEFAULT_LAYOUT[on]),
            cpu=cpu,
            gpu_argmax=gpu_argmax,
        )

    @property
    def on_gpu(self) -> bool:
        """Whether the engine runs on a GPU."""
        return self.runtime is Runtime.TENSORRT

    @property
    def is_fused(self) -> bool:
        """Whether the steps go into the engine's graph."""
        return self.layout is ServingLayout.FUSED

    @property
    def int8_cpu(self) -> Int8Cpu:
        """What int8 weights are made for; asks this machine where nobody said."""
        return self.cpu or this_int8_cpu()

    @property
    def weight_bits(self) -> int:
        """How many bits int8 weights use: a GPU takes all 8."""
        return 8 if self.on_gpu else WEIGHT_BITS[self.int8_cpu]

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


def _parse(what: str, words: type[_AnyWord], value: str) -> _AnyWord:
    try:
        return words(value)
    except ValueError:
        allowed = ", ".join(word.value for word in words)
        raise SpecificationError(f"{what}: expected one of {allowed}, got {value!r}") from None
