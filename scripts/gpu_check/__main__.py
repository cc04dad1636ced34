"""`python -m gpu_check`, which `make gpu-check` runs."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from gpu_check.rows import Case, Failed
from gpu_check.run import Material, run_cases
from gpu_check.table import Circumstances, insert_table, table
from tritonseg_engines.errors import EngineBuildError
from tritonseg_engines.preflight.gpu_peaks import PEAKS, GpuPeaks
from tritonseg_engines.target import Precision
from tritonseg_engines.tensorrt import inspect_machine
from tritonseg_engines.zoo import ZOO_SPECS

PRECISIONS = tuple(precision.value for precision in Precision)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(name="gpu-check")
@click.option("--models", multiple=True, type=click.Choice(list(ZOO_SPECS)), help="Repeatable.")
@click.option("--precisions", multiple=True, type=click.Choice(PRECISIONS), help="Repeatable.")
@click.option("--weights", type=FOLDER, help="Published checkpoints; random weights unless given.")
@click.option("--calibration", type=FOLDER, help="Pictures for int8; drawn streets unless given.")
@click.option("--pictures", type=FOLDER, help="Pictures to judge by; drawn streets unless given.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out/gpu_check"),
    show_default=True,
    help="Exports, plans and figures; a second run takes them up.",
)
@click.option("--again", is_flag=True, help="Also measure what has been measured.")
@click.option(
    "--page",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Markdown page whose marked part becomes the table.",
)
@click.option(
    "--peak-tflops",
    multiple=True,
    metavar="PRECISION=TFLOPS",
    help="Of a GPU that the table of data sheets lacks; for each precision.",
)
@click.option("--bandwidth", type=click.FloatRange(min=0, min_open=True), metavar="GB/S")
def main(
    models: tuple[str, ...],
    precisions: tuple[str, ...],
    weights: Path | None,
    calibration: Path | None,
    pictures: Path | None,
    folder: Path,
    again: bool,
    page: Path | None,
    peak_tflops: tuple[str, ...],
    bandwidth: float | None,
) -> None:
    """Build the published models for this machine's GPU, compare their masks, and time them.

    Ends with exit code 1 if there is no GPU, if a case fails, or if masks are below the bounds
    of their precision, other than those of random weights in fp16 and int8.
    """
    given = given_peaks(peak_tflops, bandwidth)
    material = Material(folder=folder, weights=weights, calibration=calibration, pictures=pictures)
    cases = [
        Case(model=model, precision=precision)
        for model in models or ZOO_SPECS
        for precision in precisions or PRECISIONS
    ]
    try:
        machine = inspect_machine()
        gpu = machine.first_gpu()
        rows = run_cases(cases, material, machine, again=again, say=click.echo)
        circumstances = Circumstances(
            machine=machine,
            date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            peaks=given or PEAKS.get(gpu.name),
        )
        text = table(rows, circumstances)
        click.echo(f"\n{text}")
        if page is not None:
            insert_table(page, text)
    except EngineBuildError as error:
        raise click.ClickException(str(error)) from error
    if any(isinstance(row, Failed) or row.is_alarming for row in rows):
        sys.exit(1)


def given_peaks(peak_tflops: Sequence[str], bandwidth: float | None) -> GpuPeaks | None:
    """Return the peaks that the options state, or None if they state none.

    Raises:
        click.BadParameter: Only one of the two is given, or a figure cannot be read.
    """
    if not peak_tflops and bandwidth is None:
        return None
    if not peak_tflops or bandwidth is None:
        raise click.BadParameter("--peak-tflops and --bandwidth go together")
    tflops = {}
    for text in peak_tflops:
        precision, _, figure = text.partition("=")
        try:
            tflops[precision] = float(figure)
        except ValueError:
            tflops[precision] = 0.0
        if precision not in PRECISIONS or not tflops[precision] > 0:
            raise click.BadParameter(f"--peak-tflops: expected e.g. fp16=121, got {text!r}")
    return GpuPeaks(tflops=tflops, bandwidth_gb_s=bandwidth)


if __name__ == "__main__":
    main()
