"""`tritonseg shm-size`: how large a container's /dev/shm must be."""

from __future__ import annotations

from pathlib import Path

import click

from tritonseg_engines.cli.repository_option import built_repository_option


@click.command(name="shm-size")
@click.argument("models", nargs=-1, metavar="[MODEL...]")
@built_repository_option
@click.option(
    "--picture",
    "picture_hw",
    type=click.Tuple([click.IntRange(min=1), click.IntRange(min=1)]),
    metavar="HEIGHT WIDTH",
    help="Largest picture that callers send; by default of the network's size, and where that is "
    "open, 1024 2048.",
)
def command(models: tuple[str, ...], repository: Path, picture_hw: tuple[int, int] | None) -> None:
    """Print the size of /dev/shm that a repository's models, all or MODELs only, need.

    As Docker's --shm-size takes it, such as 74m: input and all outputs of every Python process,
    for the largest batch, and 4 MiB for each process.
    """
    from tritonseg_engines.repository.shared_memory import shared_memory_mib

    click.echo(f"{shared_memory_mib(repository, models, picture_hw=picture_hw)}m")
