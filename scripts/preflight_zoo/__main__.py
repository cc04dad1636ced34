"""`python -m preflight_zoo`, which `make preflight-zoo` runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from gpu_check.table import insert_table
from preflight_zoo.asking import ask_all
from preflight_zoo.rows import Case, Compiled
from preflight_zoo.table import BEGIN, END, table
from tritonseg_engines import zoo
from tritonseg_engines.cli.sizes import typed_size
from tritonseg_engines.errors import EngineBuildError
from tritonseg_engines.preflight import GPUS, USUAL_GPUS, find_compiler
from tritonseg_engines.repository.published_networks import network_facts
from tritonseg_engines.target import Precision, ServingLayout
from tritonseg_engines.zoo import ZOO_SPECS

PRECISIONS: Final = tuple(precision.value for precision in Precision)
LAYOUTS: Final = (ServingLayout.ENSEMBLE.value, ServingLayout.FUSED.value)
CARD: Final = "card"
USUAL_HW: Final = (512, 512)
LARGE_NETWORKS_HW: Final = (128, 128)
"""Layers and types do not depend on it, and at the card's size the masks that judge a build would
take two cores minutes for each of 36."""
LARGE_GMACS: Final = 100.0
"""For one picture of the card's size."""
FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(name="preflight-zoo")
@click.option("--models", multiple=True, type=click.Choice(list(ZOO_SPECS)), help="Repeatable.")
@click.option("--precisions", multiple=True, type=click.Choice(PRECISIONS), help="Repeatable.")
@click.option("--layouts", multiple=True, type=click.Choice(LAYOUTS), help="Repeatable.")
@click.option("--gpus", multiple=True, type=click.Choice(list(GPUS)), help="Repeatable.")
@click.option(
    "--size",
    metavar="HEIGHTxWIDTH|card",
    help="Of pictures; 512x512 unless given, 128x128 for the three large networks. `card` takes "
    "those that the models were published with.",
)
@click.option("--weights", type=FOLDER, help="Published checkpoints; random weights unless given.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out/preflight_zoo"),
    show_default=True,
    help="Exports and answers; a second run takes them up.",
)
@click.option("--again", is_flag=True, help="Also ask about what has been asked about.")
@click.option(
    "--page",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Markdown page whose marked part becomes the table.",
)
def main(
    models: tuple[str, ...],
    precisions: tuple[str, ...],
    layouts: tuple[str, ...],
    gpus: tuple[str, ...],
    size: str | None,
    weights: Path | None,
    folder: Path,
    again: bool,
    page: Path | None,
) -> None:
    """Build the published models' ONNX in every precision and layout, and have them compiled.

    Ends with exit code 1 if one is refused, or compiled with a warning that nothing explains.
    """
    cases = [
        Case(model=model, precision=precision, layout=layout, size_hw=asked_size(model, size))
        for model in models or ZOO_SPECS
        for precision in precisions or PRECISIONS
        for layout in layouts or LAYOUTS
    ]
    try:
        find_compiler()
        folder.mkdir(parents=True, exist_ok=True)
        asked = gpus or USUAL_GPUS
        rows = ask_all(cases, folder, asked, weights=weights, again=again, say=click.echo)
        text = table(rows, asked)
        click.echo(f"\n{text}")
        if page is not None:
            insert_table(page, text, begin=BEGIN, end=END)
    except EngineBuildError as error:
        raise click.ClickException(str(error)) from error
    if not all(isinstance(row, Compiled) and not row.warnings for row in rows):
        sys.exit(1)


def asked_size(model: str, size: str | None) -> tuple[int, int]:
    """Return height and width of the pictures that a model is asked about with.

    Raises:
        click.BadParameter: The size cannot be read.
    """
    if size is None:
        return LARGE_NETWORKS_HW if network_facts(model).gmacs > LARGE_GMACS else USUAL_HW
    card_hw = zoo.get_spec(model).input.size_hw
    if size == CARD and card_hw is not None:
        return card_hw
    size_hw = typed_size(size)
    if size_hw is None:
        raise click.BadParameter(f"--size: expected HEIGHTxWIDTH or {CARD}, got {size!r}")
    return size_hw


if __name__ == "__main__":
    main()
