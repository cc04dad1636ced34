"""The tables of a report as text cells, which Markdown, HTML and the terminal share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from tritonseg_engines.evaluation.dataset import one_line

if TYPE_CHECKING:
    from tritonseg_engines.evaluation.bootstrap import Interval
    from tritonseg_engines.evaluation.report import Report

CONFUSIONS_SHOWN: Final = 12
Row = tuple[str, ...]


def percent(share: float | None) -> str:
    """Return a share as percent, or a dash."""
    return "-" if share is None else f"{share:.2%}"


def four_digits(share: float | None) -> str:
    """Return a share with four digits, or a dash."""
    return "-" if share is None else f"{share:.4f}"


def bounds(interval: Interval | None) -> str:
    """Return an interval in words, or a dash."""
    return "-" if interval is None else f"{interval.low:.4f} to {interval.high:.4f}"


def summary_rows(report: Report) -> tuple[Row, list[Row]]:
    """Return header and rows of the figures, a column for every model."""
    figures = report.figures
    header = ("", *report.evaluation.titles)
    rows = [
        ("mIoU", *(four_digits(one.mean_iou) for one in figures)),
        ("95 % of it", *(bounds(one.mean_iou_interval) for one in figures)),
        ("pixels right", *(percent(one.pixel_accuracy) for one in figures)),
        ("mean class accuracy", *(percent(one.mean_class_accuracy) for one in figures)),
        ("frequency-weighted IoU", *(four_digits(one.frequency_weighted_iou) for one in figures)),
        ("boundary IoU, mean", *(four_digits(one.mean_boundary_iou) for one in figures)),
        ("calibration error", *(four_digits(one.calibration_error) for one in figures)),
    ]
    if report.differences:
        changed = (f"{one.changed_pixels:.3%}" for one in report.differences)
        rows.append(("pixels changed", "", *changed))
    return header, rows


def class_rows(report: Report) -> tuple[Row, list[Row]]:
    """Return header and rows of the classes, for one model or several side by side."""
    names, figures = report.evaluation.coding.classes, report.figures
    if len(figures) == 1:
        (one,) = figures
        header: Row = ("class", "IoU", "boundary IoU", "labelled right", "of labels", "of masks")
        return header, [
            (
                name,
                four_digits(one.iou[index]),
                four_digits(one.boundary_iou[index]),
                percent(one.class_accuracy[index]),
                percent(one.label_share[index]),
                percent(one.predicted_share[index]),
            )
            for index, name in enumerate(names)
        ]
    titles = report.evaluation.titles
    header = (
        "class",
        *(f"IoU, {title}" for title in titles),
        *(f"points, {title}" for title in titles[1:]),
        "of labels",
    )
    return header, [
        (
            name,
            *(four_digits(one.iou[index]) for one in figures),
            *(_points(figures[0].iou[index], one.iou[index]) for one in figures[1:]),
            percent(figures[0].label_share[index]),
        )
        for index, name in enumerate(names)
    ]


def confusion_rows(report: Report, position: int = 0) -> tuple[Row, list[Row]]:
    """Return header and rows of what a model takes for what, the most pixels first."""
    confusion = report.measured.totals.models[position].confusion.copy()
    labelled = confusion.sum(axis=1)
    np.fill_diagonal(confusion, 0)
    order = np.argsort(-confusion, axis=None, kind="stable")[:CONFUSIONS_SHOWN]
    names = report.evaluation.coding.classes
    rows: list[Row] = []
    for flat in order.tolist():
        label, taken = divmod(flat, len(names))
        pixels = int(confusion[label, taken])
        if pixels:
            share = pixels / int(labelled[label])
            rows.append((names[label], names[taken], f"{share:.1%}", f"{pixels:,}"))
    return ("label", "taken for", "of the label's pixels", "pixels"), rows


def facts(report: Report) -> Iterator[Row]:
    """Yield what was measured and how, by name."""
    evaluation, run = report.evaluation, report.measured
    coding, asked = evaluation.coding, evaluation.contenders[0].asked
    yield "pictures", evaluation.dataset.title
    yield "labels", f"values {coding.known}: {coding.origin}"
    for title, contender in zip(evaluation.titles, evaluation.contenders, strict=True):
        model = contender.model
        yield (
            title,
            f"{one_line(model.runtime)}, export {model.onnx_sha256[:12]}, at {contender.url}",
        )
    asks: list[str] = [asked.transport]
    asks += (
        ["with confidence"] if any(one.gives_confidence for one in evaluation.contenders) else []
    )
    asks += ["in tiles"] if asked.tiling else []
    yield "asked", f"{', '.join(asks)}; {evaluation.max_in_flight} in flight"
    if run.pictures_per_s is not None:
        now = (
            ""
            if run.pictures_now == len(evaluation.dataset.pictures)
            else (f", the {run.pictures_now} of this run")
        )
        yield "took", f"{run.elapsed_s:.1f} s, {run.pictures_per_s:.1f} pictures/s{now}"


def _points(first: float | None, other: float | None) -> str:
    return "-" if first is None or other is None else f"{100 * (other - first):+.2f}"
