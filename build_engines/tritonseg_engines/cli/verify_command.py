"""`tritonseg verify`: whether what is served is what passed its gate."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from tritonseg_engines.cli.repository_option import built_repository_option


@click.command(name="verify")
@click.argument("target", metavar="[REPOSITORY|HOST:PORT]", required=False)
@click.option(
    "--model", "models", multiple=True, metavar="NAME", help="Only this model; repeatable."
)
@built_repository_option
@click.option(
    "--exact",
    is_flag=True,
    help="Refuse configs that were tuned, too: nothing but the build's own bytes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a document instead of text.")
def command(
    target: str | None, models: tuple[str, ...], repository: Path, exact: bool, as_json: bool
) -> None:
    """Hold a repository or a running server against the receipts of its builds.

    A REPOSITORY: its files first, then the canaries through a server that is started for it. A
    server at HOST:PORT (its gRPC): the canaries, by the receipts in --repository.

    Exit code 0 and a line for every model if all is as built, else 1.
    """
    from tritonseg_engines.verification.verify import verify_repository, verify_server

    if target is None or ":" not in target or Path(target).is_dir():
        place = repository if target is None else Path(target)
        results = verify_repository(place, models, exact=exact)
    else:
        if exact:
            raise click.UsageError("--exact is about files, which cannot be seen of a server")
        results = verify_server(target, repository, models)
    if as_json:
        document = {"models": [{**asdict(one), "lines": one.lines} for one in results]}
        click.echo(json.dumps(document, indent=2))
    else:
        for line in (line for one in results for line in one.lines):
            click.echo(line)
    if any(one.problem is not None for one in results):
        raise SystemExit(1)
