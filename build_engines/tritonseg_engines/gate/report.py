"""What a build found out, for machines (JSON) and for people (HTML)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.gate.comparison import Comparison
from tritonseg_engines.gate.layer_cost import LayerCost
from tritonseg_engines.gate.layer_precision import LayerPrecision, precision_rows, strip
from tritonseg_engines.gate.thresholds import Thresholds
from tritonseg_engines.gate.worst_pictures import Panels, figure
from tritonseg_engines.html_page import heading, page, paragraph, table

JSON_NAME = "report.json"
HTML_NAME = "report.html"
LAYERS_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class GateReport:
    """The gate's figures and verdict.

    Attributes:
        title: Model, precision and runtime.
        comparison: Built network against reference.
        thresholds: What was asked of it.
        failures: What it fails, as sentences.
        accepted: Whether the user took it nevertheless.
        facts: Further facts about the build, as text by name.
        kept_float: Nodes in high precision by intent, with the reason.
        costs: What quantizing each layer does alone.
        panels: Pictures to look at.
        layers: Precision of every layer that multiplies, where NVIDIA's compiler was asked.
        remedy: What may be done about a refusal.
    """

    title: str
    comparison: Comparison
    thresholds: Thresholds
    failures: tuple[str, ...] = ()
    accepted: bool = False
    facts: dict[str, str] = field(default_factory=dict)
    kept_float: dict[str, str] = field(default_factory=dict)
    costs: Sequence[LayerCost] = ()
    panels: Sequence[Panels] = field(default=(), repr=False)
    layers: Sequence[LayerPrecision] = field(default=(), repr=False)
    remedy: str = "--accept builds it nevertheless"

    @property
    def verdict(self) -> str:
        """Return "passed", "accepted" or "refused"."""
        if not self.failures:
            return "passed"
        return "accepted" if self.accepted else "refused"

    def to_json(self) -> dict[str, Any]:
        """Return everything but the pictures."""
        comparison = self.comparison
        return {
            "title": self.title,
            "verdict": self.verdict,
            "failures": list(self.failures),
            "thresholds": {
                "equal_pixels": self.thresholds.equal_pixels,
                "miou_drop_points": self.thresholds.miou_drop_points,
            },
            "pictures": comparison.origin,
            "equal_pixels": comparison.equal_pixels,
            "agreement_miou": comparison.agreement_miou,
            "reference_miou": comparison.reference_miou,
            "built_miou": comparison.built_miou,
            "miou_drop_points": comparison.miou_drop_points,
            "classes": [
                {
                    "name": entry.name,
                    "reference_pixels": entry.reference_pixels,
                    "built_pixels": entry.built_pixels,
                    "agreement_iou": entry.agreement_iou,
                    "reference_iou": entry.reference_iou,
                    "built_iou": entry.built_iou,
                }
                for entry in comparison.classes
            ],
            "per_picture": {entry.name: entry.equal_pixels for entry in comparison.pictures},
            "facts": self.facts,
            "kept_float": self.kept_float,
            "layer_costs": [
                {
                    "layers": cost.name,
                    "changed_pixels": cost.changed_pixels,
                    "miou_loss_points": cost.miou_loss_points,
                    "kept": cost.kept,
                }
                for cost in self.costs
            ],
            "layer_precisions": [asdict(layer) for layer in self.layers],
        }


def write_report(report: GateReport, json_path: Path, html_path: Path) -> None:
    """Write both forms, each whole."""
    write_atomically(json_path, (json.dumps(report.to_json(), indent=2) + "\n").encode())
    write_atomically(html_path, page(report.title, _parts(report)).encode())


def _parts(report: GateReport) -> Iterator[str]:
    yield paragraph(_verdict_text(report), f"verdict {report.verdict}")
    yield table("What was compared", ("", ""), _summary(report))
    yield table(
        "Classes",
        ("class", "share in reference", "share in built", "IoU built/reference",
         "IoU reference/labels", "IoU built/labels", "points"),
        _class_rows(report.comparison),
    )  # fmt: skip
    if report.layers:
        yield strip(report.layers)
        if rows := precision_rows(report.layers):
            yield table(
                "Layers in more bits than the rest, as NVIDIA's compiler has them",
                ("layer", "operator", "in the file", "in the engine", "of the multiplications",
                 "why"),
                rows,
            )  # fmt: skip
    if report.costs:
        yield table(
            "What quantizing costs, layer by layer, most first",
            ("layer", "pixels changed", "points of mIoU", "in high precision"),
            [
                (
                    cost.name,
                    f"{cost.changed_pixels:.3%}",
                    f"{cost.miou_loss_points:.2f}",
                    "yes" if cost.kept else "",
                )
                for cost in report.costs[:LAYERS_SHOWN]
            ],
        )
    if report.kept_float:
        rows = sorted(report.kept_float.items())
        yield table("Left in high precision", ("node", "why"), rows)
    yield heading("Where the two differ most")
    yield from (figure(panels) for panels in report.panels)


def _verdict_text(report: GateReport) -> str:
    if report.verdict == "passed":
        return "Passed: the built network gives the reference's masks within the bounds below."
    found = "; ".join(report.failures)
    if report.verdict == "accepted":
        return f"Below its bounds, and accepted by --accept: {found}."
    return f"Refused, no engine was written: {found}."


def _summary(report: GateReport) -> Iterator[tuple[str, str]]:
    comparison, bounds = report.comparison, report.thresholds
    yield "pictures", comparison.origin
    yield (
        "pixels with the reference's class",
        f"{comparison.equal_pixels:.4%} (bound {bounds.equal_pixels:.2%})",
    )
    yield "mIoU between the two", f"{comparison.agreement_miou:.4f}"
    if comparison.reference_miou is not None and comparison.built_miou is not None:
        yield "mIoU of the reference against labels", f"{comparison.reference_miou:.4f}"
        yield "mIoU of the built network against labels", f"{comparison.built_miou:.4f}"
        yield (
            "loss in points",
            f"{comparison.miou_drop_points:.2f} (bound {bounds.miou_drop_points:g})",
        )
    yield from report.facts.items()


def _class_rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    total = sum(entry.reference_pixels for entry in comparison.classes) or 1
    for entry in comparison.classes:
        points = "-"
        if entry.reference_iou is not None and entry.built_iou is not None:
            points = f"{100 * (entry.built_iou - entry.reference_iou):+.2f}"
        yield (
            entry.name,
            f"{entry.reference_pixels / total:.3%}",
            f"{entry.built_pixels / total:.3%}",
            _iou(entry.agreement_iou),
            _iou(entry.reference_iou),
            _iou(entry.built_iou),
            points,
        )


def _iou(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
