"""`tritonseg repository`: the layout of the published models, without engines."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="repository")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--all", "all_models", is_flag=True, help="All published models.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("model_repository"),
    show_default=True,
    help="Folder to write into; models of other names in it stay.",
)
def command(models: tuple[str, ...], all_models: bool, output: Path) -> None:
    """Write the TensorRT repository of published models, with no engine in it yet.

    The configs say what Triton will serve. `tritonseg build MODEL` later writes the same folders
    with the engine. A model whose engine is there already is refused and left alone.
    """
    from tritonseg_engines.repository.unbuilt import write_unbuilt
    from tritonseg_engines.zoo import ZOO_SPECS, published_spec

    if all_models == bool(models):
        raise click.UsageError("give either names of models or --all")
    for name in ZOO_SPECS if all_models else models:
        click.echo(f"wrote {write_unbuilt(published_spec(name), output)}")
