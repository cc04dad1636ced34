"""`tritonseg evaluate`: how well a served model segments a labelled data set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import click

from tritonseg import ConfigurationError, ProtocolError, SegmentationError
from tritonseg_engines.cli.compared_models import (
    NamedModel,
    connected,
    named_model,
    shown_to,
)
from tritonseg_engines.cli.evaluate_output import summary, writable_journal
from tritonseg_engines.cli.progress_bars import Bars, progress_bars
from tritonseg_engines.cli.server_options import ServerAccess, access_options
from tritonseg_engines.evaluation.contender import Asked, Contender
from tritonseg_engines.evaluation.dataset import Dataset
from tritonseg_engines.evaluation.journal import Journal
from tritonseg_engines.evaluation.label_coding import LabelCoding, coding_from_file, coding_of
from tritonseg_engines.evaluation.layouts import FORMATS, Place, open_dataset
from tritonseg_engines.evaluation.report import Report, write_report
from tritonseg_engines.evaluation.run import Evaluation, measure
from tritonseg_engines.evaluation.worst_pictures import panels_of

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(name="evaluate")
@click.argument("model")
@click.option("--dataset", "root", type=FOLDER, metavar="DIR", help="The data set's folder.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(list(FORMATS)),
    required=True,
    help="How it is laid out.",
)
@click.option("--split", help="Which part of it; the one that is usually evaluated unless given.")
@click.option("--images", type=FOLDER, metavar="DIR", help="Pictures, for camvid and folders.")
@click.option("--labels", type=FOLDER, metavar="DIR", help="Labels, a PNG of each picture's stem.")
@click.option(
    "--label-map",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="YAML or JSON: label value to class name, class index or ignore.",
)
@click.option(
    "--ignore-index",
    "ignored",
    type=click.IntRange(0, 255),
    multiple=True,
    metavar="N",
    help="A label value to leave out, beside the data set's own; repeatable.",
)
@click.option(
    "--match",
    type=click.Choice(["name", "index"]),
    default="name",
    show_default=True,
    help="Find the data set's classes in the model by name, or trust that both count alike.",
)
@click.option(
    "--compare",
    "compared",
    multiple=True,
    metavar="NAME[@VERSION][=URL]",
    help="Another model, version (@2) or server (=HOST:PORT), side by side; repeatable.",
)
@click.option(
    "--model-version", type=click.IntRange(min=1), metavar="N", help="Highest by default."
)
@click.option(
    "--url",
    default="localhost:8001",
    show_default=True,
    envvar="TRITONSEG_URL",
    show_envvar=True,
    help="The server's gRPC port.",
)
@access_options
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("evaluation"),
    show_default=True,
    help="Folder for the report.",
)
@click.option("--overwrite", is_flag=True, help="Begin anew where a report or part of one is.")
@click.option("--resume", is_flag=True, help="Go on with a run that was interrupted.")
@click.option(
    "--in-flight",
    "max_in_flight",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    metavar="N",
    help="How many pictures are worked on at once.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="For each picture, and for a server that is overloaded.",
)
@click.option(
    "--transport",
    type=click.Choice(["raw", "encoded", "shared_memory"]),
    default="raw",
    show_default=True,
    help="Send pixels, or the files as they are, or share memory with a server on this host.",
)
@click.option("--tiling", type=click.Choice(["auto"]), help="Cut large pictures into tiles.")
@click.option(
    "--confidence/--no-confidence",
    default=True,
    show_default=True,
    help="Ask how sure the model is, where it says; doubles the answers.",
)
def command(
    model: str,
    root: Path | None,
    format_name: str,
    split: str | None,
    images: Path | None,
    labels: Path | None,
    label_map: Path | None,
    ignored: tuple[int, ...],
    match: str,
    compared: tuple[str, ...],
    model_version: int | None,
    url: str,
    output: Path,
    overwrite: bool,
    resume: bool,
    max_in_flight: int,
    timeout_s: float,
    transport: Literal["raw", "encoded", "shared_memory"],
    tiling: Literal["auto"] | None,
    confidence: bool,
    **access: Any,
) -> None:
    """Measure a served model on a labelled data set: IoU, accuracy, boundaries, calibration.

    Every picture goes through the server, as a caller's would. The report comes as HTML, Markdown
    and JSON, and pictures.csv has a line for each picture. --compare measures other models on the
    same pictures, and says whether a difference is more than chance.
    """
    version = None if model_version is None else str(model_version)
    first = NamedModel(name=model, version=version, url=url)
    named = [first, *(named_model(text, first) for text in compared)]
    dataset = open_dataset(format_name, Place(root=root, split=split, images=images, labels=labels))
    journal_path = writable_journal(output, overwrite=overwrite, resume=resume)
    arguments = {"timeout_s": timeout_s, **shown_to(named, ServerAccess(**access))}
    asked = Asked(transport=transport, confidence=confidence, tiling=tiling)
    with connected(named, asked, arguments) as contenders:
        evaluation = Evaluation(
            dataset=dataset,
            coding=_coding(dataset, contenders[0], label_map, ignored, match),
            contenders=contenders,
            max_in_flight=max_in_flight,
        )
        with Journal(journal_path, evaluation.header(), resume=resume) as journal:
            report = _measured(evaluation, journal, output)
            journal.remove()
    for line in summary(report, output):
        click.echo(line)


def _measured(evaluation: Evaluation, journal: Journal, output: Path) -> Report:
    """Measure with a bar, write the report, and say how to go on where that is interrupted."""
    with progress_bars() as bars, _resumable(journal, bars):
        measured = measure(evaluation, journal, bars)
        panels = panels_of(evaluation, measured.totals, bars)
        report = Report.of(evaluation, measured, panels)
        write_report(report, output)
    return report


@contextmanager
def _resumable(journal: Journal, bars: Bars) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SegmentationError, OSError) as error:
        if not journal.is_empty and not isinstance(error, (ConfigurationError, ProtocolError)):
            with bars.aside():
                click.echo("what was counted is kept; --resume goes on from there", err=True)
        raise


def _coding(
    dataset: Dataset,
    first: Contender,
    label_map: Path | None,
    ignored: tuple[int, ...],
    match: str,
) -> LabelCoding:
    classes = first.model.classes
    if label_map is not None:
        return coding_from_file(label_map, classes, ignored)
    if dataset.label_set is None and first.model.ignore_index is not None:
        ignored = (*ignored, first.model.ignore_index)
    return coding_of(dataset.label_set, classes, ignored=ignored, match=match)
