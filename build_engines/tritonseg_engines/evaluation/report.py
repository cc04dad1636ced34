"""What an evaluation found, as one document for machines, and the files that are written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from tritonseg import __version__
from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.evaluation.bootstrap import CONFIDENCE, RESAMPLES, SEED, Interval
from tritonseg_engines.evaluation.card_figures import card_remark
from tritonseg_engines.evaluation.comparison import Difference, differences
from tritonseg_engines.evaluation.figures import Figures, figures_of
from tritonseg_engines.evaluation.run import Evaluation, Measured
from tritonseg_engines.evaluation.worst_pictures import Panels

JSON_NAME: Final = "report.json"
MARKDOWN_NAME: Final = "report.md"
HTML_NAME: Final = "report.html"
PICTURES_NAME: Final = "pictures.csv"
REPORT_NAMES: Final = (JSON_NAME, MARKDOWN_NAME, HTML_NAME, PICTURES_NAME)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All that is said of an evaluation.

    Attributes:
        evaluation: What was measured on what.
        measured: Sums, and how long it took.
        figures: Of every model.
        differences: Of every model but the first from that.
        remarks: What a reader has to know, as sentences.
        panels: Pictures to look at.
    """

    evaluation: Evaluation
    measured: Measured
    figures: tuple[Figures, ...]
    differences: tuple[Difference, ...]
    remarks: tuple[str, ...]
    panels: Sequence[Panels] = field(default=(), repr=False)

    @classmethod
    def of(
        cls, evaluation: Evaluation, measured: Measured, panels: Sequence[Panels] = ()
    ) -> Report:
        """Make figures of what was counted."""
        totals = measured.totals
        figures = tuple(figures_of(one) for one in totals.models)
        first = evaluation.contenders[0]
        card = card_remark(first.model, evaluation.dataset, totals, first.asked)
        strange = [one.caption for one in panels if not one.is_repeated]
        remarks = [*evaluation.dataset.remarks, *evaluation.coding.remarks]
        remarks += [] if card is None else [card]
        if strange:
            remarks.append(
                f"the server gave other masks when it was asked once more, first for {strange[0]}: "
                "these figures will not repeat exactly"
            )
        return cls(
            evaluation=evaluation,
            measured=measured,
            figures=figures,
            differences=differences(totals, figures, evaluation.titles),
            remarks=tuple(remarks),
            panels=panels,
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything but pictures; "figures" is the same whenever all counts are."""
        dataset, run = self.evaluation.dataset, self.measured
        positions = range(len(self.figures))
        return {
            "tritonseg_version": __version__,
            "dataset": {
                "format": dataset.format,
                "split": dataset.split,
                "pictures": len(dataset.pictures),
                "labels": f"{self.evaluation.coding.known}: {self.evaluation.coding.origin}",
            },
            "figures": {
                "models": [self._model(position) for position in positions],
                "differences": [self._difference(one) for one in self.differences],
                "intervals": {"share": CONFIDENCE, "resamples": RESAMPLES, "seed": SEED},
            },
            "remarks": list(self.remarks),
            "run": {
                "pictures": run.pictures_now,
                "elapsed_s": run.elapsed_s,
                "pictures_per_s": run.pictures_per_s,
                "in_flight": self.evaluation.max_in_flight,
                "urls": [contender.url for contender in self.evaluation.contenders],
            },
        }

    def _model(self, position: int) -> dict[str, Any]:
        contender, figures = self.evaluation.contenders[position], self.figures[position]
        model, totals = contender.model, self.measured.totals.models[position]
        return {
            "name": model.name,
            "version": model.version,
            "precision": model.precision,
            "runtime": model.runtime,
            "onnx_sha256": model.onnx_sha256,
            "asked": asdict(contender.asked),
            "mean_iou": figures.mean_iou,
            "mean_iou_interval": _bounds(figures.mean_iou_interval),
            "pixel_accuracy": figures.pixel_accuracy,
            "mean_class_accuracy": figures.mean_class_accuracy,
            "frequency_weighted_iou": figures.frequency_weighted_iou,
            "mean_boundary_iou": figures.mean_boundary_iou,
            "calibration_error": figures.calibration_error,
            "classes": [
                {
                    "name": name,
                    "iou": figures.iou[index],
                    "boundary_iou": figures.boundary_iou[index],
                    "accuracy": figures.class_accuracy[index],
                    "label_share": figures.label_share[index],
                    "predicted_share": figures.predicted_share[index],
                }
                for index, name in enumerate(self.evaluation.coding.classes)
            ],
            "confusion": totals.confusion.tolist(),
        }

    def _difference(self, difference: Difference) -> dict[str, Any]:
        return {
            "model": difference.position,
            "mean_iou": difference.mean_iou,
            "mean_iou_interval": _bounds(difference.interval),
            "changed_pixels": difference.changed_pixels,
            "sentence": difference.sentence,
        }


def pictures_csv(report: Report) -> bytes:
    """Return a line for every picture: size, labelled pixels, and each model's right ones."""
    totals, buffer = report.measured.totals, io.StringIO(newline="")
    writer = csv.writer(buffer)
    titles = report.evaluation.titles
    writer.writerow(
        [
            "picture",
            "pixels",
            "labelled",
            *(f"right: {title}" for title in titles),
            *(f"mIoU: {title}" for title in titles),
            *(f"changed: {title}" for title in titles[1:]),
        ]
    )
    right = np.stack([one.right_by_picture for one in totals.models], axis=1)
    labelled = totals.models[0].labelled_by_picture
    for index, picture in enumerate(report.evaluation.dataset.pictures):
        means = [_picture_mean_iou(one.by_picture[index]) for one in totals.models]
        writer.writerow(
            [
                picture.name,
                totals.pixels[index],
                labelled[index],
                *right[index],
                *means,
                *totals.changed[index],
            ]
        )
    return buffer.getvalue().encode(errors="surrogateescape")


def write_report(report: Report, folder: Path) -> None:
    """Write all files, each whole, the JSON last.

    Raises:
        OSError: A file cannot be written.
    """
    from tritonseg_engines.evaluation.report_html import html_report
    from tritonseg_engines.evaluation.report_markdown import markdown_report

    text = json.dumps(report.to_json(), indent=2, allow_nan=False) + "\n"
    for name, content in (
        (PICTURES_NAME, pictures_csv(report)),
        (MARKDOWN_NAME, markdown_report(report).encode()),
        (HTML_NAME, html_report(report).encode()),
        (JSON_NAME, text.encode()),
    ):
        try:
            write_atomically(folder / name, content)
        except OSError as error:  # that of a full disk names no file
            raise OSError(error.errno, error.strerror, str(folder / name)) from error


def _bounds(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _picture_mean_iou(sums: np.ndarray[Any, np.dtype[np.int64]]) -> str:
    present = sums[1] > 0
    return f"{float((sums[0][present] / sums[1][present]).mean()):.6f}" if present.any() else ""
