"""`tritonseg tune`: which configuration serves most pictures within a latency."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from tritonseg_engines.cli.ended_in_order import ended_in_order
from tritonseg_engines.cli.repository_option import built_repositories_option
from tritonseg_engines.cli.typed import quoted, typed_program

if TYPE_CHECKING:
    from tritonseg_engines.load_test.tester import Choice
    from tritonseg_engines.perf_input import Transport
    from tritonseg_engines.tuning.report import Written
    from tritonseg_engines.tuning.tuned import Tuned

LEAST_MINUTES: Final = 0.5


def _finite(_context: click.Context, _option: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter(f"expected a finite number, got {value}")
    return value


@click.command(name="tune")
@click.argument("model")
@click.option(
    "--latency-ms",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    callback=_finite,
    metavar="P99",
    help="Within which 99 of 100 pictures shall be answered.",
)
@built_repositories_option
@click.option(
    "--pictures",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="A picture or folder of what your callers send; repeatable. Of many, 16 are taken.  "
    "[default: a drawn street of the model's size]",
)
@click.option(
    "--transport",
    type=click.Choice(["raw", "encoded"]),
    default="raw",
    show_default=True,
    help="Send pixels, or the files as they are.",
)
@click.option(
    "--max-minutes",
    type=click.FloatRange(min=LEAST_MINUTES),
    callback=_finite,
    default=10.0,
    show_default=True,
    help="How long it may take; a measurement that runs then is finished.",
)
@click.option(
    "--loader",
    type=click.Choice(["auto", "perf_analyzer", "built-in"]),
    default="auto",
    show_default=True,
    help="What measures: NVIDIA's perf_analyzer from the PATH where it runs, or our own.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out/tuning"),
    show_default=True,
    help="Folder for the report and the patch; those of an earlier run are replaced.",
)
@click.option(
    "--apply", "is_applied", is_flag=True, help="Write what is recommended into the repository."
)
def command(
    model: str,
    latency_ms: float,
    repositories: tuple[Path, ...],
    pictures: tuple[Path, ...],
    transport: Transport,
    max_minutes: float,
    loader: Choice,
    output: Path,
    is_applied: bool,
) -> None:
    """Find how to serve MODEL so that most pictures are answered within a latency.

    Starts a server of its own for each configuration that is tried, on a copy of the model, so
    nothing that is served elsewhere changes; stop what else uses this machine's GPU or cores. With
    several --repository, which have MODEL in other precisions or layouts, all are compared, and the
    first is what is served today.
    """
    from tritonseg_engines.load_test.tester import find_load_tester
    from tritonseg_engines.tuning.pictures import named_pictures, pictures_or_street
    from tritonseg_engines.tuning.report import refuse_unwritable, write_report
    from tritonseg_engines.tuning.run import Tuner
    from tritonseg_engines.tuning.tuned import TuneOptions
    from tritonseg_engines.tuning.variant import read_variants
    from tritonseg_steps.cores import available_cores

    console = Console(highlight=False)
    variants = read_variants(model, repositories)
    tester, remark = find_load_tester(loader)
    console.print(f"[dim]{remark or f'measured by {tester.name}'}[/]", soft_wrap=True)
    for folder in (output, *(one.repository / model for one in variants if is_applied)):
        refuse_unwritable(folder)
    named = named_pictures(pictures)
    with ended_in_order(), pictures_or_street(variants[0], named) as files:
        options = TuneOptions(
            latency_ms=latency_ms,
            most_s=60 * max_minutes,
            pictures=files,
            transport=transport,
            cores=available_cores(),
            named_pictures=len(named),
        )
        tuned = Tuner(
            variants,
            tester,
            options,
            lambda done, seconds: console.print(
                f"[dim]{seconds:6.0f} s[/]  {done}", soft_wrap=True
            ),
        ).run()
    written = write_report(tuned, output)
    _show(tuned, written, is_applied=is_applied)


def _show(tuned: Tuned, written: Written, *, is_applied: bool) -> None:
    from tritonseg_engines.tuning import words

    click.echo()
    click.echo(words.verdict(tuned))
    if (line := words.line_sentence(tuned)) is not None:
        click.echo(line)
    for name, one in words.shown(tuned):
        click.echo(f"{name}: {words.bottleneck_sentence(tuned, one)}")
    click.echo(f"report {quoted(written.html.absolute())}")
    if written.patch is not None:
        _show_change(tuned, written.patch, is_applied=is_applied)
    elif not tuned.keeps_default:
        _show_serve(tuned)


def _show_change(tuned: Tuned, patch: Path, *, is_applied: bool) -> None:
    from tritonseg_engines.tuning.patch import apply, rewritten

    repository = tuned.advised.variant.repository
    if not is_applied:
        for folder in rewritten(tuned.advised):
            click.echo(
                f"mind: {folder}/config.pbtxt has comments or an order of its own, which the patch "
                "takes away; make its changes by hand to keep them"
            )
        click.echo(
            f"nothing was changed; this does: patch -p1 -d {quoted(repository.absolute())} < "
            f"{quoted(patch.absolute())}"
        )
        return
    for path in apply(tuned.advised):
        click.echo(f"wrote {quoted(path.absolute())}")
    click.echo("a server that runs on it keeps what it has loaded until it is started again")
    _show_serve(tuned)


def _show_serve(tuned: Tuned) -> None:
    variant = tuned.advised.variant
    click.echo(
        f"next: {typed_program()} serve {variant.model} --repository "
        f"{quoted(variant.repository.absolute())}"
    )
