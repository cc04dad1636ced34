"""One row of the table: a model in a precision and a layout, and what NVIDIA's compiler says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.gate.layer_precision import LayerPrecision
from tritonseg_engines.preflight import Preflight


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What a row is about.

    Attributes:
        model: Name of a published model.
        precision: "fp32", "fp16" or "int8".
        layout: "ensemble" or "fused".
        size_hw: Of the pictures that the network takes.
    """

    model: str
    precision: str
    layout: str
    size_hw: tuple[int, int]

    @property
    def size(self) -> str:
        """As one writes it, e.g. "512x1024"."""
        return f"{self.size_hw[0]}x{self.size_hw[1]}"

    @property
    def file_name(self) -> str:
        """Where its row is kept."""
        return f"{self.model}.{self.size}.{self.precision}.{self.layout}.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiled:
    """What the compiler made of the graph.

    Attributes:
        case: Which.
        compiler: Its version.
        seconds: By GPU.
        engine_bytes: By GPU.
        warnings: That nothing is known to explain.
        explained: That change no value, with the reason.
        layers: Precision of every layer that multiplies.
    """

    case: Case
    compiler: str
    seconds: dict[str, float]
    engine_bytes: dict[str, int]
    warnings: tuple[str, ...]
    explained: tuple[str, ...]
    layers: tuple[LayerPrecision, ...]

    @classmethod
    def of(cls, case: Case, found: Preflight) -> Compiled:
        """Return the row of a graph that all GPUs' compilers took."""
        answers = [verdict.answer for verdict in found.verdicts]
        raw = {text for answer in answers for text in answer.warnings}
        notes = dict.fromkeys(note for verdict in found.verdicts for note in verdict.notes)
        return cls(
            case=case,
            compiler=answers[0].compiler,
            seconds={answer.gpu.name: answer.seconds for answer in answers},
            engine_bytes={answer.gpu.name: answer.engine_bytes for answer in answers},
            # A note with a known reason has that written behind the compiler's words.
            warnings=tuple(note for note in notes if note in raw),
            explained=tuple(note for note in notes if note not in raw),
            layers=found.layers,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A case that came to nothing.

    Attributes:
        case: Which.
        reason: In one line.
    """

    case: Case
    reason: str


Row = Compiled | Failed


def write_compiled(row: Compiled, path: Path) -> None:
    """Keep a row, whole or not at all."""
    write_atomically(path, (json.dumps(asdict(row), indent=1) + "\n").encode())


def read_compiled(path: Path) -> Compiled | None:
    """Return what `write_compiled` kept, or None if nothing usable is there."""
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        case = document.pop("case")
        return Compiled(
            case=Case(**{**case, "size_hw": tuple(case["size_hw"])}),
            layers=tuple(LayerPrecision(**layer) for layer in document.pop("layers")),
            warnings=tuple(document.pop("warnings")),
            explained=tuple(document.pop("explained")),
            **document,
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # missing, cut short, or of another version: it is asked again


def kept_high(layers: tuple[LayerPrecision, ...]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield precision, reason and names of the layers in more bits than the rest."""
    found: dict[tuple[str, str], list[str]] = {}
    for layer in layers:
        if layer.why:
            found.setdefault((layer.asked, layer.why), []).append(layer.node)
    for (precision, why), names in found.items():
        yield precision, why, names
