"""What `tritonseg build` prints of what it did."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tritonseg_engines.build.model import BuildReport


def report_document(report: BuildReport) -> dict[str, object]:
    """Return what `--json` prints."""
    return {
        "model": report.model,
        "tail": asdict(report.tail),
        "layout": report.layout,
        "proof": asdict(report.proof),
        "threshold": report.threshold,
        "kept_tail": report.kept_tail,
        "quantized_export": report.quantized_export,
        "equal_pixels_after_fuse": report.equal_pixels_after_fuse,
        "provenance": asdict(report.provenance),
        "gate": report.gate.to_json(),
        "report": report.report,
        "note": report.note,
        "lacks_engine": report.lacks_engine,
    }


def show_report(report: BuildReport) -> None:
    """Print what was written, and how near it is to the export."""
    provenance, gate = report.provenance, report.gate
    done = "wrote" if report.lacks_engine else "built"
    click.echo(f"{done} {report.model} ({provenance.runtime}, {provenance.precision})")
    _show_export(report)
    sizes = ", ".join(f"{height}x{width}" for height, width in report.proof.sizes_hw)
    click.echo(
        f"proven against the export as it came, at {sizes}: {report.proof.equal_pixels:.4%} of the "
        "pixels equal on the worst picture"
    )
    if report.threshold is not None:
        click.echo(f"a pixel is of the second class where its score is above {report.threshold:g}")
    if report.equal_pixels_after_fuse is not None:
        click.echo(
            f"fused the steps into the graph: {report.equal_pixels_after_fuse:.4%} of the pixels "
            "as in the ensemble"
        )
    comparison = gate.comparison
    reference = "the export" if report.quantized_export else "fp32"
    click.echo(
        f"gate {gate.verdict}: {comparison.equal_pixels:.4%} of the pixels as in {reference}, mIoU "
        f"between the two {comparison.agreement_miou:.4f} ({comparison.origin})"
    )
    if comparison.miou_drop_points is not None:
        click.echo(
            f"mIoU against labels {comparison.built_miou:.4f}, {reference} "
            f"{comparison.reference_miou:.4f}: {comparison.miou_drop_points:.2f} points lost"
        )
    kept = sum(cost.kept for cost in gate.costs)
    if kept:
        click.echo(f"{kept} of {len(gate.costs)} layers left in high precision")
    click.echo(f"report {report.report}")
    if report.note and not report.lacks_engine:
        click.echo(report.note)


def _show_export(report: BuildReport) -> None:
    """Print what was found in the file."""
    if report.tail.operators:
        click.echo(f"cut {' → '.join(report.tail.operators)} behind the network")
    if report.kept_tail:
        click.echo(f"left the tail in the network: {report.kept_tail}")
    if report.quantized_export:
        click.echo(
            f"the export is quantized already ({report.quantized_export}): its int8 is kept as it "
            "is and judged by int8's bounds"
        )
