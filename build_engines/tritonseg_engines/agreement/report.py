"""What a comparison found, as files: for machines, for tables, and to look at."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tritonseg import SegmentationError, __version__
from tritonseg_engines import html_page
from tritonseg_engines.agreement.run import Agreement, Comparison, class_maps
from tritonseg_engines.agreement.verdict import Bound, Verdict, class_agreement
from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.evaluation.worst_pictures import marked, overlay
from tritonseg_engines.progress import Progress, unheard

JSON_NAME: Final = "report.json"
HTML_NAME: Final = "report.html"
PICTURES_NAME: Final = "pictures.csv"
REPORT_NAMES: Final = (HTML_NAME, JSON_NAME, PICTURES_NAME)
PICTURES_SHOWN: Final = 8
MOST_IN_HEAT_TABLE: Final = 40
"""Classes; a table of more cannot be read."""

Panels = tuple[tuple[str, NDArray[np.uint8]], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All that is said of a comparison.

    Attributes:
        comparison: What was compared on what.
        agreement: What was counted.
        bound: What was asked for.
        verdict: Whether that is kept, in words.
        panels: Caption and panels of the worst pictures.
    """

    comparison: Comparison
    agreement: Agreement
    bound: Bound
    verdict: Verdict
    panels: Sequence[tuple[str, Panels]] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return everything but pictures."""
        agreement, comparison = self.agreement, self.comparison
        return {
            "tritonseg_version": __version__,
            "models": [
                {"url": one.url, "asked": asdict(one.asked), **asdict(one.model)}
                for one in comparison.contenders
            ],
            "is_kept": self.verdict.is_kept,
            "sentences": list(self.verdict.sentences),
            "bound": asdict(self.bound),
            "pictures": len(comparison.pictures),
            "compared": len(agreement.compared),
            "differing": int(np.count_nonzero(agreement.changed)),
            "equal_share": agreement.equal_share,
            "classes": [
                {"name": name, "agreement": share, "first_pixels": first, "other_pixels": other}
                for name, share, first, other in zip(
                    comparison.first.model.classes,
                    class_agreement(agreement),
                    agreement.pairs.sum(axis=1).tolist(),
                    agreement.pairs.sum(axis=0).tolist(),
                    strict=True,
                )
            ],
            "pairs": agreement.pairs.tolist(),
            "elapsed_s": agreement.elapsed_s,
        }


def worst_panels(
    comparison: Comparison, agreement: Agreement, progress: Progress = unheard
) -> list[tuple[str, Panels]]:
    """Segment the pictures that differ most once more, and draw them.

    Args:
        comparison: What was compared.
        agreement: What was counted.
        progress: Told after every picture.
    """
    worst = agreement.worst(PICTURES_SHOWN)
    panels = []
    for done, index in enumerate(worst, 1):
        share = agreement.changed[index] / agreement.pixels[index]
        caption = f"{comparison.shown(index)}: {share:.3%} of the pixels differ"
        try:
            panels.append((caption, _drawn(comparison, index)))
        except SegmentationError as error:
            panels.append((f"{caption}; when it was asked for once more: {error}", ()))
        progress("drawing the worst", done, len(worst))
    return panels


def write_report(report: Report, folder: Path) -> None:
    """Write all files, each whole, the JSON last.

    Raises:
        OSError: A file cannot be written.
    """
    text = json.dumps(report.to_json(), indent=2, allow_nan=False) + "\n"
    for name, content in (
        (PICTURES_NAME, _pictures_csv(report)),
        (HTML_NAME, html_report(report).encode()),
        (JSON_NAME, text.encode()),
    ):
        try:
            write_atomically(folder / name, content)
        except OSError as error:  # that of a full disk names no file
            raise OSError(error.errno, error.strerror, str(folder / name)) from error


def html_report(report: Report) -> str:
    """Return the comparison as one HTML file that needs nothing else."""
    first, other = report.comparison.titles
    names, pairs = report.comparison.first.model.classes, report.agreement.pairs
    tone = "passed" if report.verdict.is_kept else "refused"
    parts = [
        html_page.paragraph(sentence, f"verdict {tone}") for sentence in report.verdict.sentences
    ]
    header = ("class", "IoU of the two", f"of {first}", f"of {other}")
    pixels = max(1, int(pairs.sum()))
    rows = [
        (
            name,
            "-" if share is None else f"{share:.3%}",
            f"{int(pairs[index].sum()) / pixels:.2%}",
            f"{int(pairs[:, index].sum()) / pixels:.2%}",
        )
        for index, (name, share) in enumerate(
            zip(names, class_agreement(report.agreement), strict=True)
        )
    ]
    parts.append(html_page.table("Classes", header, rows))
    if len(names) <= MOST_IN_HEAT_TABLE:
        of_first = pairs.sum(axis=1, keepdims=True)
        shares = np.divide(pairs, of_first, out=np.full(pairs.shape, np.nan), where=of_first > 0)
        caption = f"Percent of {first}'s pixels of a class (row) by the class of {other} (column)"
        parts.append(html_page.heat_table(caption, names, shares))
    parts.append(html_page.heading("Where they differ most"))
    parts.append(
        html_page.legend(zip(names, report.comparison.first.model.palette, strict=True))
        if report.panels
        else html_page.paragraph("No pixel differs.")
    )
    parts += [html_page.figure(caption, panels) for caption, panels in report.panels]
    return html_page.page(f"{other} against {first}", parts)


def _drawn(comparison: Comparison, index: int) -> Panels:
    image_hwc, first, other = class_maps(comparison, index)
    palette = np.array(comparison.first.model.palette, np.uint8)
    titled = (
        ("picture", image_hwc),
        (comparison.titles[0], overlay(image_hwc, first.astype(np.int16), palette)),
        (comparison.titles[1], overlay(image_hwc, other.astype(np.int16), palette)),
        ("where the two differ", marked(image_hwc, first != other)),
    )
    return tuple((title, html_page.panel_sized(panel)) for title, panel in titled)


def _pictures_csv(report: Report) -> bytes:
    """Return a line for every picture."""
    agreement, buffer = report.agreement, io.StringIO(newline="")
    writer = csv.writer(buffer)
    first, other = report.comparison.titles
    writer.writerow(
        ["picture", "pixels", "changed", f"failed: {first}", f"failed: {other}", "unreadable"]
    )
    for index in range(len(report.comparison.pictures)):
        failed = agreement.failures.get(index, (None, None))
        writer.writerow(
            [
                report.comparison.shown(index),
                agreement.pixels[index],
                agreement.changed[index],
                *(said or "" for said in failed),
                agreement.unreadable.get(index, ""),
            ]
        )
    return buffer.getvalue().encode()
