"""`tritonseg models`: the zoo as a table or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from tritonseg_engines.repository.published_networks import PUBLISHED_NETWORKS
from tritonseg_engines.spec import CardFigures, ModelSpec
from tritonseg_engines.zoo.published import PUBLISHED_CHECKPOINTS
from tritonseg_engines.zoo.specs import ZOO_SPECS
from tritonseg_engines.zoo.street_demo import DEMO_NAME, demo_spec


@click.command(name="models")
@click.option("--json", "as_json", is_flag=True, help="Print a document instead of a table.")
def command(as_json: bool) -> None:
    """List the published models and the demo; --json adds classes, palettes and checkpoints."""
    specs = [demo_spec(), *ZOO_SPECS.values()]
    if as_json:
        click.echo(json.dumps([_document(spec) for spec in specs], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("model", no_wrap=True)
    for heading in ("input", "resize", "classes", "Mparams", "GMACs"):
        table.add_column(heading, no_wrap=True, justify="right")
    for spec in specs:
        table.add_row(*_row(spec))
    Console(highlight=False).print(table)
    click.echo(
        f"\n{DEMO_NAME} is the demo, trained on drawn streets: it ships with this package, and"
        f"\n`tritonseg build {DEMO_NAME}` needs no file. The others begin with `tritonseg export`."
        "\nMparams are the card's; GMACs are 10^9 multiply-accumulates at that input, as this"
        "\nproject counts them. docs/models.md has the cards' figures and their conventions."
    )


def _row(spec: ModelSpec) -> tuple[str, ...]:
    card = spec.card or CardFigures()
    facts = PUBLISHED_NETWORKS.get(spec.name)
    return (
        spec.name,
        "any" if spec.input.size_hw is None else "{}x{}".format(*spec.input.size_hw),
        spec.preprocessing.resize.policy,
        str(len(spec.classes)),
        str(card.mparams or ""),
        "" if facts is None else str(facts.gmacs),
    )


def _document(spec: ModelSpec) -> dict[str, Any]:
    facts = PUBLISHED_NETWORKS.get(spec.name)
    checkpoint = PUBLISHED_CHECKPOINTS.get(spec.name)
    return {
        **asdict(spec),
        "preprocessing": spec.preprocessing.to_json(),
        "is_demo": spec.name == DEMO_NAME,
        "gmacs": None if facts is None else facts.gmacs,
        "score_stride": None if facts is None else facts.score_stride,
        "checkpoint": None if checkpoint is None else asdict(checkpoint),
    }
