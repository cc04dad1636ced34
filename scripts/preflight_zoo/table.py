"""The rows as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Final

from gpu_check.table import line
from preflight_zoo.rows import Compiled, Row, kept_high
from tritonseg_engines.gate.layer_precision import shares

BEGIN: Final = "<!-- preflight-zoo:begin -->"
END: Final = "<!-- preflight-zoo:end -->"
HEADINGS: Final = (
    "model, pictures",
    "precision",
    "layout",
    "compiled for",
    "seconds, median",
    "engine",
    "warnings",
    "layers (share of the multiply-accumulates)",
)
NAMED: Final = 2
"""So many layers are named, more are counted."""


def table(rows: Sequence[Row], gpus: Sequence[str]) -> str:
    """Return the table, what it was made with, and why layers are in more bits than the rest."""
    return "\n".join((*_caption(rows, gpus), "", *_lines(rows, gpus), "", *_reasons(rows)))


def _caption(rows: Sequence[Row], gpus: Sequence[str]) -> Iterator[str]:
    compiled = [row for row in rows if isinstance(row, Compiled)]
    versions = " and ".join(dict.fromkeys(f"TensorRT-RTX {row.compiler}" for row in compiled))
    done = sum(len(row.seconds) for row in compiled)
    warned = sum(bool(row.warnings) for row in compiled)
    yield (
        f"{versions or 'No graph compiled'}: {done} of {len(rows) * len(gpus)} compilations "
        f"({', '.join(gpus)}), {warned} of {len(rows)} graphs with a warning that nothing explains."
    )
    explained = dict.fromkeys(text for row in compiled for text in row.explained)
    for text in explained:
        yield f"Remarked, and changing nothing: {text}"


def _lines(rows: Sequence[Row], gpus: Sequence[str]) -> Iterator[str]:
    yield line(HEADINGS)
    yield "|---" * len(HEADINGS) + "|"
    for row in rows:
        head = (f"{row.case.model}, {row.case.size}", row.case.precision, row.case.layout)
        if not isinstance(row, Compiled):
            yield line((*head, f"0 of {len(gpus)}: {row.reason}", "–", "–", "–", "–"))
            continue
        yield line(
            (
                *head,
                f"{len(row.seconds)} of {len(gpus)}",
                f"{statistics.median(row.seconds.values()):.1f}",
                f"{statistics.median(row.engine_bytes.values()) / 1e6:.1f} MB",
                "; ".join(row.warnings) or "none",
                ", ".join(
                    f"{count} {name} ({share:.1%})"
                    for name, (count, share) in shares(row.layers).items()
                ),
            )
        )


def _reasons(rows: Sequence[Row]) -> Iterator[str]:
    """Yield why, once for layouts that agree."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        if not isinstance(row, Compiled):
            continue
        reasons = found.setdefault((row.case.model, row.case.precision), {})
        reasons.update(
            dict.fromkeys(
                f"{_called(names)} in {precision}: {why}"
                for precision, why, names in kept_high(row.layers)
            )
        )
    if not any(found.values()):
        return
    yield "Layers in more bits than the rest:"
    yield ""
    for (model, precision), reasons in found.items():
        if reasons:
            yield f"- {model}, {precision}: {'; '.join(reasons)}"


def _called(names: Sequence[str]) -> str:
    named = ", ".join(f"`{name}`" for name in names[:NAMED])
    return named if len(names) <= NAMED else f"{named} and {len(names) - NAMED} more"
