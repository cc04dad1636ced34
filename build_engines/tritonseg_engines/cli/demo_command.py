"""`tritonseg demo`: everything on this machine, from the shipped ONNX to an overlay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from tritonseg_engines.cli.segmenting import describe
from tritonseg_engines.cli.typed import DEFAULT_REPOSITORY, quoted, typed_program
from tritonseg_engines.zoo.street_demo import DEMO_NAME

if TYPE_CHECKING:
    from tritonseg_engines.demo.run import DemoResult


@click.command(name="demo")
@click.argument(
    "image", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out"),
    show_default=True,
    help="Folder for the pictures and for model_repository, which `tritonseg serve` takes.",
)
def command(image: Path | None, output: Path) -> None:
    """Build, serve and segment IMAGE (or a drawn street), and write the overlay.

    Needs no GPU, no container and no download. The model is a demo: the project trained it on
    streets that it draws, so do not expect much of it on photographs.
    """
    from tritonseg_engines.demo.run import run_demo

    console = Console(highlight=False)
    result = run_demo(
        output,
        image=image,
        progress=lambda done, seconds: console.print(f"[dim]{seconds:6.1f} s[/]  {done}"),
    )
    _show(console, result)
    _show_next(result)


def _show(console: Console, result: DemoResult) -> None:
    console.print()
    console.print(_latency_table(result))
    console.print()
    console.print(f"classes    {describe(dict(result.segmentation.coverage))}")
    console.print(f"class map  {result.class_map}")
    console.print(f"overlay    [bold]{result.overlay}[/]")


def _show_next(result: DemoResult) -> None:
    """Print three commands that work as they stand, wherever the demo was called from."""
    program, output = typed_program(), result.repository.parent
    chosen = (
        ""
        if result.repository == DEFAULT_REPOSITORY
        else f" --repository {quoted(result.repository)}"
    )
    steps = {
        "serve it": f"serve{chosen}",
        "in another terminal, segment": f"segment {quoted(result.image)} --model {DEMO_NAME} "
        f"-o {quoted(output / 'segmented')}",
        "build your own: put your two files here": f"build {quoted(result.specification)} "
        f"--onnx {quoted(result.onnx)}{chosen}",
    }
    click.echo("\nNext, each from this folder as it is printed:")
    for what, command in steps.items():
        click.echo(f"\n  # {what}\n  {program} {command}")


def _latency_table(result: DemoResult) -> Table:
    """Return the mean time of every step, with its share of what the caller waited."""
    table = Table(box=None, pad_edge=False)
    table.add_column("milliseconds a request")
    for heading in ("queue", "in", "compute", "out", "total", "share"):
        table.add_column(heading, justify="right")
    ensemble, *steps = result.latencies
    for step in steps:
        parts = (step.queue_ms, step.input_ms, step.infer_ms, step.output_ms, step.total_ms)
        share = step.total_ms / result.client_ms
        table.add_row(step.model, *(f"{part:.1f}" for part in parts), f"{share:.0%}")
    table.add_row("ensemble", "", "", "", "", f"{ensemble.total_ms:.1f}", "")
    table.add_row("as the caller sees it", "", "", "", "", f"{result.client_ms:.1f}", "")
    return table
