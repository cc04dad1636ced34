"""What `tritonseg build` prints of what it did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tritonseg_engines.cli.preflight_output import show_preflight

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
        "pictures": report.pictures,
        "quantized_export": report.quantized_export,
        "equal_pixels_after_fuse": report.equal_pixels_after_fuse,
        "provenance": asdict(report.provenance),
        "gate": report.gate.to_json(),
        "report": report.report,
        "note": report.note,
        "lacks_engine": report.lacks_engine,
        "is_left_out": report.is_left_out,
        "preflight": report.compiler.found and report.compiler.found.to_json(),
    }


def show_report(report: BuildReport, *, replaces: bool = False) -> None:
    """Print what was written, and how near it is to the export.

    Args:
        report: Of the build.
        replaces: Whether an earlier build was in its place, which a server may have loaded.
    """
    provenance = report.provenance
    done = "wrote" if report.lacks_engine else "built"
    click.echo(f"{done} {report.model} ({provenance.runtime}, {provenance.precision})")
    for line in (*_export_lines(report), *_proof_lines(report), *_gate_lines(report)):
        click.echo(line)
    if report.compiler.found is not None:
        show_preflight(report.compiler.found)
    if report.compiler.unasked is not None:
        click.echo(
            f"NVIDIA's compiler was not asked whether it takes this: {report.compiler.unasked}"
        )
    click.echo(f"report {report.report}")
    if report.is_left_out:
        click.echo(
            "it is not served: version_policy in the model's config.pbtxt leaves it out, as it was "
            "chosen there"
        )
    if replaces and not report.lacks_engine:
        click.echo(
            "a server that has loaded the build before goes on with it until it is started again"
        )
    if report.note and not report.lacks_engine:
        click.echo(report.note)


def _export_lines(report: BuildReport) -> Iterator[str]:
    """Yield what was found in the file."""
    if report.tail.operators:
        yield f"cut {' → '.join(report.tail.operators)} behind the network"
    if report.kept_tail:
        yield f"left the tail in the network: {report.kept_tail}"
    if report.quantized_export:
        yield (
            f"the export is quantized already ({report.quantized_export}): its int8 is kept as it "
            "is and judged by int8's bounds"
        )


def _proof_lines(report: BuildReport) -> Iterator[str]:
    """Yield how what will be served compares with the file."""
    proof = report.proof
    sizes = ", ".join(f"{height}x{width}" for height, width in proof.sizes_hw)
    yield (
        f"proven against the export as it came, at {sizes}: {proof.equal_pixels:.4%} of the "
        "pixels equal on the worst picture"
    )
    if proof.classes == 1:
        yield (
            "every pixel of those pictures is of one class, which proves little: give pictures of "
            "your own with --pictures"
        )
    if proof.other_size is not None:
        yield f"on {proof.other_size}"
    if report.pictures is not None:
        yield report.pictures
    if report.threshold is not None:
        yield f"a pixel is of the second class where its score is above {report.threshold:g}"
    if report.equal_pixels_after_fuse is not None:
        yield (
            f"fused the steps into the graph: {report.equal_pixels_after_fuse:.4%} of the pixels "
            "as in the ensemble"
        )


def _gate_lines(report: BuildReport) -> Iterator[str]:
    """Yield how the built network compares with the fp32 one."""
    gate = report.gate
    comparison = gate.comparison
    reference = "the export" if report.quantized_export else "fp32"
    yield (
        f"gate {gate.verdict}: {comparison.equal_pixels:.4%} of the pixels as in {reference}, mIoU "
        f"between the two {comparison.agreement_miou:.4f} ({comparison.origin})"
    )
    if comparison.miou_drop_points is not None:
        yield (
            f"mIoU against labels {comparison.built_miou:.4f}, {reference} "
            f"{comparison.reference_miou:.4f}: {comparison.miou_drop_points:.2f} points lost"
        )
    kept = sum(cost.kept for cost in gate.costs)
    if kept:
        yield f"{kept} of {len(gate.costs)} layers left in high precision"
