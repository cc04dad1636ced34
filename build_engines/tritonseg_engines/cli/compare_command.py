"""`tritonseg compare`: whether a served model gives another's masks, before it takes its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import click

from tritonseg import SegmentationClient
from tritonseg_engines.agreement.report import (
    HTML_NAME,
    JSON_NAME,
    PICTURES_NAME,
    REPORT_NAMES,
    Report,
    worst_panels,
    write_report,
)
from tritonseg_engines.agreement.run import Comparison, compare
from tritonseg_engines.agreement.verdict import DEFAULT_LEAST_EQUAL, Bound, verdict_of
from tritonseg_engines.cli.compared_models import NamedModel, connected, named_model, shown_to
from tritonseg_engines.cli.progress_bars import progress_bars
from tritonseg_engines.cli.server_options import ServerAccess, access_options
from tritonseg_engines.cli.typed import quoted
from tritonseg_engines.evaluation.contender import Asked
from tritonseg_engines.picture_files import SUFFIXES, picture_files, unread_files

PERCENT: Final = click.FloatRange(0, 100)


@click.command(name="compare")
@click.argument("first")
@click.argument("other")
@click.argument(
    "images",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="IMAGE...",
)
@click.option(
    "--min-equal",
    type=PERCENT,
    default=100 * DEFAULT_LEAST_EQUAL,
    show_default=True,
    metavar="PERCENT",
    help="Of all pixels that must have the same class.",
)
@click.option(
    "--min-class",
    type=PERCENT,
    metavar="PERCENT",
    help="For every class: its pixels in both masks of those in either.",
)
@click.option("--min-picture", type=PERCENT, metavar="PERCENT", help="Of every picture's pixels.")
@click.option(
    "--url",
    default="localhost:8001",
    show_default=True,
    envvar="TRITONSEG_URL",
    show_envvar=True,
    help="Of a model that is named without.",
)
@access_options
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("comparison"),
    show_default=True,
    help="Folder for the report.",
)
@click.option("--overwrite", is_flag=True, help="Replace a report that is there.")
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
def command(
    first: str,
    other: str,
    images: tuple[Path, ...],
    min_equal: float,
    min_class: float | None,
    min_picture: float | None,
    url: str,
    output: Path,
    overwrite: bool,
    max_in_flight: int,
    timeout_s: float,
    transport: Literal["raw", "encoded", "shared_memory"],
    tiling: Literal["auto"] | None,
    **access: Any,
) -> None:
    """Compare two served models' masks on pictures that need no labels.

    FIRST and OTHER are NAME[@VERSION][=HOST:PORT]; what OTHER leaves out is FIRST's, so that
    "street@1 @2" are two versions, and "=a:8001 =b:8001" the only model of each server. The exit
    code is 1 if the masks agree less than they should, or if a model gave none to a picture.
    """
    named = _named(first, other, url)
    pictures = _pictures(images, output)
    _refuse_lost(output, overwrite=overwrite)
    arguments = {"timeout_s": timeout_s, **shown_to(named, ServerAccess(**access))}
    if not named[0].name:
        only = _only_model(named[0].url, arguments)
        named = [replace(one, name=one.name or only) for one in named]
    bound = Bound(
        least_equal=min_equal / 100,
        least_class=None if min_class is None else min_class / 100,
        least_picture=None if min_picture is None else min_picture / 100,
    )
    asked = Asked(transport=transport, confidence=False, tiling=tiling)
    with connected(named, asked, arguments) as contenders, progress_bars() as bars:
        comparison = Comparison(
            first=contenders[0],
            other=contenders[1],
            pictures=pictures,
            max_in_flight=max_in_flight,
        )
        agreement = compare(comparison, bars)
        report = Report(
            comparison=comparison,
            agreement=agreement,
            bound=bound,
            verdict=verdict_of(comparison, agreement, bound),
            panels=worst_panels(comparison, agreement, bars),
        )
    output.mkdir(parents=True, exist_ok=True)
    write_report(report, output)
    _say(report, output)


def _named(first: str, other: str, url: str) -> list[NamedModel]:
    nobody = NamedModel(name="", version=None, url="" if "=" in first else url)
    one = named_model(first, nobody, "FIRST")
    return [one, named_model(other, one, "OTHER")]


def _only_model(url: str, arguments: dict[str, Any]) -> str:
    with SegmentationClient(url, **arguments) as client:
        names = sorted({model.name for model in client.models()})
    if len(names) == 1:
        return names[0]
    raise click.ClickException(
        f"expected one model at {url}, got {', '.join(names) or 'none'}: name it, NAME={url}"
    )


def _pictures(images: tuple[Path, ...], output: Path) -> list[Path]:
    pictures = picture_files(images, results=output)
    for file in unread_files(images, results=output):
        click.echo(f"left out, of a format that is not read: {file}", err=True)
    if not pictures:
        named = ", ".join(map(str, images))
        raise click.ClickException(f"{named}: no picture is there ({', '.join(SUFFIXES)})")
    return pictures


def _refuse_lost(output: Path, *, overwrite: bool) -> None:
    there = next((name for name in REPORT_NAMES if (output / name).exists()), None)
    if there is not None and not overwrite:
        raise click.ClickException(
            f"{output / there} would be replaced: give --overwrite, or another folder with -o"
        )


def _say(report: Report, output: Path) -> None:
    """Print what was found, the reason for a refusal last."""
    *reasons, found = report.verdict.sentences
    click.echo(found)
    click.echo(f"wrote {quoted(output / HTML_NAME)}, and beside it {JSON_NAME}, {PICTURES_NAME}")
    if not report.verdict.is_kept:
        raise click.ClickException("; ".join(reasons) or found)
