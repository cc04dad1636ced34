"""`tritonseg models`: the zoo as a table or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from tritonseg_engines.spec import CardFigures
from tritonseg_engines.zoo.specs import ZOO_SPECS


@click.command(name="models")
@click.option("--json", "as_json", is_flag=True, help="Print a document instead of a table.")
def command(as_json: bool) -> None:
    """List the published models; --json adds classes, palettes, licences and sources."""
    if as_json:
        click.echo(json.dumps([asdict(spec) for spec in ZOO_SPECS.values()], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "input", "resize", "classes", "Mparams", "GFLOPs"):
        table.add_column(heading, no_wrap=True)
    table.add_column("accuracy")
    for spec in ZOO_SPECS.values():
        size = "any" if spec.input.size_hw is None else "{}x{}".format(*spec.input.size_hw)
        card = spec.card or CardFigures()
        table.add_row(
            spec.name,
            size,
            spec.preprocessing.resize.policy,
            str(len(spec.classes)),
            *("" if v is None else str(v) for v in (card.mparams, card.gflops, card.accuracy)),
        )
    console = Console(highlight=False)
    console.print(table)
    console.print("\nFigures are the cards' own, each by its own convention: --json has it.")
