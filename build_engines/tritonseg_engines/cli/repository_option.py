"""The options by which commands are told where models were built."""

from __future__ import annotations

from pathlib import Path

import click

from tritonseg_engines.cli.typed import DEFAULT_REPOSITORY

built_repository_option = click.option(
    "--repository",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_REPOSITORY,
    show_default=True,
    help="Folder that `tritonseg build` or `tritonseg demo` wrote.",
)

built_repositories_option = click.option(
    "--repository",
    "repositories",
    type=click.Path(file_okay=False, path_type=Path),
    multiple=True,
    default=(DEFAULT_REPOSITORY,),
    show_default=True,
    help="Folder that `tritonseg build` or `tritonseg demo` wrote, or another team's; repeatable.",
)
