"""What tuning found: for machines (JSON, CSV), for a repository (a patch), for people."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.tuning.contest import Contestant
from tritonseg_engines.tuning.page import html_report
from tritonseg_engines.tuning.patch import PATCH_NAME, unified_patch
from tritonseg_engines.tuning.tuned import Tuned
from tritonseg_engines.tuning.words import markdown_report, remarks

JSON_NAME: Final = "tune.json"
CSV_NAME: Final = "tune.csv"
MARKDOWN_NAME: Final = "tune.md"
HTML_NAME: Final = "tune.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """Where the forms of a report lie; the patch is None if there is nothing to change."""

    html: Path
    markdown: Path
    csv: Path
    json: Path
    patch: Path | None


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder that cannot be written, or made, before minutes are spent on what goes there.

    Raises:
        OSError: It cannot.
    """
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    with tempfile.TemporaryFile(dir=there):
        pass


def write_report(tuned: Tuned, folder: Path) -> Written:
    """Write every form, each file whole; files of the same names are replaced."""
    patch = unified_patch(tuned.advised)
    texts = {
        HTML_NAME: html_report(tuned),
        MARKDOWN_NAME: markdown_report(tuned),
        CSV_NAME: _csv(tuned),
        JSON_NAME: json.dumps(_finite(_document(tuned)), indent=2, allow_nan=False) + "\n",
        **({PATCH_NAME: patch} if patch else {}),
    }
    (folder / PATCH_NAME).unlink(missing_ok=True)  # one of an earlier run beside this report lies
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())
    return Written(
        html=folder / HTML_NAME,
        markdown=folder / MARKDOWN_NAME,
        csv=folder / CSV_NAME,
        json=folder / JSON_NAME,
        patch=folder / PATCH_NAME if patch else None,
    )


def _csv(tuned: Tuned) -> str:
    """Return a line for every load of every configuration, in perf_analyzer's own columns."""
    rows = list(_rows(tuned))
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _rows(tuned: Tuned) -> Iterator[dict[str, Any]]:
    for measured in tuned.measured:
        accuracy = measured.candidate.variant.accuracy
        for result in measured.by_callers.values():
            yield {
                "Configuration": measured.candidate.label,
                "Pixels as the export's": accuracy.equal_pixels,
                "mIoU lost, points": accuracy.miou_drop_points,
                "Goodput": result.goodput_per_s,
                "Stable": result.is_stable,
                "Measured by": result.measured_by,
                **result.perf_columns(),
            }


def _document(tuned: Tuned) -> dict[str, Any]:
    return {
        "model": tuned.variants[0].model,
        "latency_ms": tuned.options.latency_ms,
        "transport": tuned.options.transport,
        "pictures": len(tuned.options.pictures),
        "measured_by": tuned.measured_by,
        "took_s": round(tuned.took_s, 1),
        "recommended": tuned.recommended.candidate.label,
        "advised": tuned.advised.label,
        "repository": str(tuned.advised.variant.repository),
        "keeps_default": tuned.keeps_default,
        "remarks": list(remarks(tuned)),
        "in_turns": [_contestant(one) for one in tuned.contestants],
        "searched": [
            {
                "configuration": one.candidate.label,
                "settings": asdict(one.candidate.settings),
                "accuracy": asdict(one.candidate.variant.accuracy),
                "failure": one.failure,
                "by_callers": {at: _result(found) for at, found in one.by_callers.items()},
            }
            for one in tuned.measured
        ],
        "arrivals": [
            {"configuration": curve.label, "results": [_result(one) for one in curve.results]}
            for curve in tuned.curves
        ],
    }


def _finite(value: Any) -> Any:
    """Return the same with null, which JSON has, for numbers that it has not."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _contestant(one: Contestant) -> dict[str, Any]:
    return {
        "configuration": one.candidate.label,
        "callers": one.callers,
        "goodput_per_s": one.goodput_per_s,
        "p99_ms": one.p99_ms,
        "turns": [_result(turn) for turn in one.turns],
    }


def _result(result: LoadResult) -> dict[str, Any]:
    return {**asdict(result), "goodput_per_s": result.goodput_per_s}
