"""An evaluation as Markdown, for a pull request or a wiki."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tritonseg_engines.evaluation.report_tables import (
    Row,
    class_rows,
    confusion_rows,
    facts,
    summary_rows,
)

if TYPE_CHECKING:
    from tritonseg_engines.evaluation.report import Report


def markdown_report(report: Report) -> str:
    """Return the document."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# {_plain(f'{report.evaluation.titles[0]} on {report.evaluation.dataset.title}')}"
    yield ""
    for sentence in (*(one.sentence for one in report.differences), *report.remarks):
        yield f"- {_plain(sentence)}"
    yield ""
    yield from _table(*summary_rows(report))
    yield from ("", "## Classes", "")
    yield from _table(*class_rows(report))
    yield from ("", "## Taken for another", "")
    yield from _table(*confusion_rows(report))
    yield from ("", "## How", "")
    yield from _table(("", ""), facts(report))


def _table(header: Row, rows: Iterable[Row]) -> Iterator[str]:
    yield _row(header)
    yield _row(("---", *("---:" for _ in header[1:])))
    for row in rows:
        yield _row(row)


def _row(cells: Row) -> str:
    return "| " + " | ".join(map(_plain, cells)) + " |"


def _plain(text: str) -> str:
    """Return text in which nothing is markup; class names are anybody's."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return text
