"""What is said of a network that the gate refuses."""

from __future__ import annotations

from pathlib import Path

from tritonseg_engines.gate.report import GateReport, write_report
from tritonseg_engines.gate.thresholds import GateError, describe_worst

LAYERS_NAMED = 3


def refusal(gate: GateReport, beside: Path) -> GateError:
    """Write the report of a refused build and return the error that names it.

    Args:
        gate: The verdict.
        beside: Path to which `.refused.html` and `.refused.json` are appended.
    """
    html_path = beside.with_name(f"{beside.name}.refused.html")
    write_report(gate, html_path.with_suffix(".json"), html_path)
    worst_classes = describe_worst(gate.comparison)
    parts = [*gate.failures, *([f"worst classes: {worst_classes}"] if worst_classes else [])]
    if gate.costs:
        worst = ", ".join(
            f"{cost.name} ({cost.changed_pixels:.2%} of the pixels alone)"
            for cost in gate.costs[:LAYERS_NAMED]
        )
        parts.append(f"costliest layers: {worst}")
    return GateError(
        f"{gate.title}: on {gate.comparison.origin}: {'; '.join(parts)}. No engine was written; "
        f"see {html_path}. {gate.remedy}"
    )
