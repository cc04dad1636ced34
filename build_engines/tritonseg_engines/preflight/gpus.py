"""The GPUs that a preflight can be asked about, by compute capability."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tritonseg_engines.tensorrt.errors import PlanOptionsError


@dataclass(frozen=True, slots=True)
class TargetGpu:
    """A kind of GPU that TensorRT-RTX compiles for.

    Attributes:
        name: As in NVIDIA's tools, e.g. "sm_86".
        models: Some that have it.
    """

    name: str
    models: str

    @property
    def capability(self) -> str:
        """Compute capability, e.g. "8.6"."""
        digits = self.name.removeprefix("sm_")
        return f"{digits[:-1]}.{digits[-1]}"


GPUS: Final = {
    gpu.name: gpu
    for gpu in (
        TargetGpu("sm_75", "T4, RTX 20"),
        TargetGpu("sm_80", "A100, A30"),
        TargetGpu("sm_86", "A10, A40, RTX 30"),
        TargetGpu("sm_89", "L4, L40S, RTX 40"),
        TargetGpu("sm_120", "RTX PRO 6000, RTX 50"),
    )
}
"""Source: NVIDIA, "CUDA GPUs"; members of `ComputeCapability` in TensorRT-RTX 1.7."""
USUAL_GPUS: Final = ("sm_80", "sm_86", "sm_89", "sm_120")


def read_gpus(names: Iterable[str]) -> tuple[TargetGpu, ...]:
    """Return the GPUs of some names, each once.

    Raises:
        PlanOptionsError: A name is unknown, or there is none.
    """
    wanted = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    for name in wanted:
        if name not in GPUS:
            raise PlanOptionsError(
                f"gpu: expected some of {', '.join(GPUS)}, got {name!r}{_hint(name)}"
            )
    if not wanted:
        raise PlanOptionsError(f"gpu: expected some of {', '.join(GPUS)}, got none")
    return tuple(GPUS[name] for name in wanted)


def _hint(name: str) -> str:
    if name in ("sm_90", "sm_100", "sm_103"):
        return (
            ": TensorRT-RTX has no compiler for data-centre Hopper and Blackwell; a graph that "
            "passes for sm_89 and sm_120 obeys the same typing rules"
        )
    return ""
