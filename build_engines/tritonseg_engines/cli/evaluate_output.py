"""Where `tritonseg evaluate` writes, and what it prints when it is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from tritonseg_engines.cli.typed import quoted
from tritonseg_engines.evaluation.figures import Figures
from tritonseg_engines.evaluation.report import REPORT_NAMES, Report

JOURNAL_NAME: Final = ".partial.jsonl"
LOWEST_SHOWN: Final = 3


def writable_journal(output: Path, *, overwrite: bool, resume: bool) -> Path:
    """Return where the journal goes; refuse to replace what nobody said may be replaced.

    Args:
        output: Folder of the report; made if it is not there.
        overwrite: Whether a report or journal that is there may be replaced.
        resume: Whether to go on with the journal that is there.

    Raises:
        click.ClickException: Something is there.
        OSError: The folder cannot be made.
    """
    if overwrite and resume:
        raise click.UsageError("--overwrite begins anew and --resume goes on: give one of them")
    journal = output / JOURNAL_NAME
    if journal.exists() and not overwrite and not resume:
        raise click.ClickException(
            f"{output} holds a run that was interrupted: --resume goes on, --overwrite begins anew"
        )
    there = next((name for name in REPORT_NAMES if (output / name).exists()), None)
    if there is not None and not overwrite and not (resume and journal.exists()):
        raise click.ClickException(
            f"{output / there} would be replaced: give --overwrite, or another folder with -o"
        )
    output.mkdir(parents=True, exist_ok=True)
    return journal


def summary(report: Report, folder: Path) -> Iterator[str]:
    """Yield the lines.

    Args:
        report: What was found.
        folder: Where its files are.
    """
    for title, figures in zip(report.evaluation.titles, report.figures, strict=True):
        yield f"{title}, on {report.evaluation.dataset.title}:"
        yield f"  {_figures_line(figures)}"
        if lowest := _lowest(figures, report.evaluation.coding.classes):
            yield f"  lowest IoU: {lowest}"
    yield from (difference.sentence for difference in report.differences)
    yield from report.remarks
    run = report.measured
    if run.pictures_per_s is not None:
        yield f"took {run.elapsed_s:.1f} s, {run.pictures_per_s:.1f} pictures/s"
    html, *others = sorted(REPORT_NAMES, key=lambda name: not name.endswith(".html"))
    yield f"wrote {quoted(folder / html)}, and beside it {', '.join(others)}"


def _figures_line(figures: Figures) -> str:
    parts = []
    if figures.mean_iou is not None:
        interval = figures.mean_iou_interval
        bounds = (
            "" if interval is None else f" (95 % from {interval.low:.4f} to {interval.high:.4f})"
        )
        parts.append(f"mIoU {figures.mean_iou:.4f}{bounds}")
    if figures.pixel_accuracy is not None:
        parts.append(f"{figures.pixel_accuracy:.2%} of the pixels right")
    if figures.mean_boundary_iou is not None:
        parts.append(f"boundary IoU {figures.mean_boundary_iou:.4f}")
    if figures.calibration_error is not None:
        parts.append(f"calibration error {figures.calibration_error:.4f}")
    return ", ".join(parts)


def _lowest(figures: Figures, classes: tuple[str, ...]) -> str:
    known = [(iou, name) for iou, name in zip(figures.iou, classes, strict=True) if iou is not None]
    return ", ".join(f"{name} {iou:.4f}" for iou, name in sorted(known)[:LOWEST_SHOWN])
