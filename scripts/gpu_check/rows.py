"""One row of the table: a model in a precision, measured, or why it could not be."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from gpu_check.roofline import Work
from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.tensorrt.timing import PlanTiming

RANDOM_WEIGHTS: Final = "random"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What a row is about.

    Attributes:
        model: Name of a published model.
        precision: "fp32", "fp16" or "int8".
    """

    model: str
    precision: str

    @property
    def file_name(self) -> str:
        """Where its row is kept."""
        return f"{self.model}.{self.precision}.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A plan that was built, judged and timed.

    Attributes:
        case: Model and precision.
        weights: "random", or the checkpoint's file name.
        verdict: The gate's on the plan: "passed", or "accepted" for one below the bounds.
        equal_pixels: Share of pixels with the class of ONNX Runtime in fp32, 0-1.
        onnx_equal_pixels: The same of the ONNX that the plan was built from, in ONNX Runtime.
        pictures: Which pictures.
        build_s: Seconds that TensorRT took.
        plan_bytes: Size of the plan.
        timings: One for every batch size.
        work: What the network must compute and move.
        machine: GPU and TensorRT, as `machine_key` writes them.
    """

    case: Case
    weights: str
    verdict: str
    equal_pixels: float
    onnx_equal_pixels: float
    pictures: str
    build_s: float
    plan_bytes: int
    timings: tuple[PlanTiming, ...]
    work: Work
    machine: str

    @property
    def is_alarming(self) -> bool:
        """Whether masks of trained weights, or of fp32 with any, are below the bounds.

        Random weights have no margins between classes, and lower precisions change their masks
        by design; there the plan is to be compared with its ONNX.
        """
        trained = self.weights != RANDOM_WEIGHTS
        return self.verdict != "passed" and (trained or self.case.precision == "fp32")

    @property
    def single(self) -> PlanTiming:
        """The timing of the smallest batch."""
        return min(self.timings, key=lambda timing: timing.batch)

    @property
    def best(self) -> PlanTiming:
        """The timing of the batch with most pictures per second."""
        return max(self.timings, key=lambda timing: timing.pictures_per_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A case that came to nothing.

    Attributes:
        case: Model and precision.
        reason: In one line.
    """

    case: Case
    reason: str


Row = Measured | Failed


def write_measured(row: Measured, path: Path) -> None:
    """Keep a row, whole or not at all."""
    write_atomically(path, (json.dumps(asdict(row), indent=2) + "\n").encode())


def read_measured(path: Path) -> Measured | None:
    """Return what `write_measured` kept, or None if nothing usable is there."""
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        timings = tuple(PlanTiming(**timing) for timing in document.pop("timings"))
        case, work = Case(**document.pop("case")), Work(**document.pop("work"))
        return Measured(case=case, work=work, timings=timings, **document)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # missing, cut short, or of another version: it is measured again
