"""An evaluation as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from tritonseg_engines import html_page
from tritonseg_engines.evaluation.report_tables import (
    class_rows,
    confusion_rows,
    facts,
    summary_rows,
)

if TYPE_CHECKING:
    from tritonseg_engines.evaluation.report import Report

MOST_IN_HEAT_TABLE: Final = 40
"""Classes; a table of more cannot be read."""


def html_report(report: Report) -> str:
    """Return the document."""
    title = f"{report.evaluation.titles[0]} on {report.evaluation.dataset.title}"
    return html_page.page(title, _parts(report))


def _parts(report: Report) -> Iterator[str]:
    for difference in report.differences:
        yield html_page.paragraph(difference.sentence, f"verdict {_tone(difference.interval)}")
    yield html_page.table("Figures", *summary_rows(report))
    for remark in report.remarks:
        yield html_page.paragraph(remark)
    yield html_page.table("Classes", *class_rows(report))
    yield html_page.heading("What is taken for what")
    yield from _confusion(report)
    yield html_page.heading("Where it is worst")
    palette = report.evaluation.contenders[0].model.palette
    yield html_page.legend(zip(report.evaluation.coding.classes, palette, strict=True))
    yield from (html_page.figure(one.caption, one.images) for one in report.panels)
    yield html_page.heading("How this was measured")
    yield html_page.table("", ("", ""), facts(report), "facts")


def _tone(interval: object) -> str:
    low, high = getattr(interval, "low", 0.0), getattr(interval, "high", 0.0)
    if low > 0:
        return "passed"
    return "refused" if high < 0 else "accepted"


def _confusion(report: Report) -> Iterator[str]:
    names = report.evaluation.coding.classes
    for position, title in enumerate(report.evaluation.titles):
        if len(names) <= MOST_IN_HEAT_TABLE:
            confusion = report.measured.totals.models[position].confusion
            labelled = confusion.sum(axis=1, keepdims=True)
            shares = np.divide(
                confusion, labelled, out=np.full(confusion.shape, np.nan), where=labelled > 0
            )
            caption = f"{title}: percent of each label's pixels (row) by class given (column)"
            yield html_page.heat_table(caption, names, shares)
        yield html_page.table(f"{title}: most pixels", *confusion_rows(report, position))
