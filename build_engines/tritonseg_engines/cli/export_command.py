"""`tritonseg export`: upstream checkpoint in, ONNX out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn


@click.command(name="export")
@click.argument("model")
@click.option(
    "--weights",
    required=True,
    metavar="FILE|URL|upstream",
    help="The checkpoint; `upstream` downloads the published one, once.",
)
@click.option(
    "--onnx",
    "onnx_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Written; MODEL.onnx unless given.",
)
@click.option("--height", type=click.IntRange(min=1), help="Pixels; the model's own unless given.")
@click.option("--width", type=click.IntRange(min=1))
@click.option("--any-size", is_flag=True, help="Leave height and width open.")
@click.option("--batch", type=click.IntRange(min=1), help="Fix the batch; open unless given.")
@click.option(
    "--num-classes", type=click.IntRange(1, 256), help="If the checkpoint was trained on others."
)
def command(
    model: str,
    weights: str,
    onnx_path: Path | None,
    height: int | None,
    width: int | None,
    any_size: bool,
    batch: int | None,
    num_classes: int | None,
) -> None:
    """Export a published MODEL's checkpoint as ONNX (opset 17), and compare it with torch."""
    if (height is None) != (width is None):
        raise click.UsageError("--height and --width go together")
    from tritonseg_engines import zoo
    from tritonseg_engines.checkpoints import load_checkpoint, locate_weights
    from tritonseg_engines.zoo.export import export_onnx

    spec = zoo.published_spec(model)
    with _download_bar() as progress:
        checkpoint = locate_weights(model, weights, progress=progress)
    size_hw = (height, width) if height and width else spec.input.size_hw
    report = export_onnx(
        load_checkpoint(model, checkpoint, num_classes),
        onnx_path or Path(f"{model}.onnx"),
        size_hw=None if any_size else size_hw,
        batch=batch,
        input_name=spec.input.name,
        output_name=spec.output.name,
    )
    operators = ", ".join(f"{name} {count}" for name, count in report.operators.items())
    click.echo(f"wrote {report.path}: {operators}")
    click.echo(
        f"ONNX Runtime differs from torch by at most {report.max_difference:.2g} "
        f"(largest score {report.max_score:.3g})"
    )


@contextmanager
def _download_bar() -> Iterator[Callable[[int, int | None], None]]:
    """Show a download's progress on standard error, where that is a terminal."""
    columns = (TextColumn("downloading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        task = bars.add_task("download", total=None, visible=False)

        def update(received: int, total: int | None) -> None:
            bars.update(task, completed=received, total=total, visible=True)

        yield update
