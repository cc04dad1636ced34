"""`tritonseg segment`: pictures through a running server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click

from tritonseg import SegmentationClient
from tritonseg_engines.cli.call_options import call_options, limits_of
from tritonseg_engines.cli.result_names import ResultFiles, result_files
from tritonseg_engines.cli.segmenting import (
    left_to_do,
    segment_all,
    some_failed,
    write_coco,
    written_in,
)
from tritonseg_engines.cli.server_options import ServerAccess, access_options
from tritonseg_engines.picture_files import SUFFIXES, picture_files, unread_files


@click.command(name="segment")
@click.argument(
    "images",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="IMAGE...",
)
@click.option(
    "--model",
    required=True,
    envvar="TRITONSEG_MODEL",
    show_envvar=True,
    help="Name of the model on the server.",
)
@click.option(
    "--model-version",
    type=click.IntRange(min=1),
    metavar="N",
    envvar="TRITONSEG_MODEL_VERSION",
    show_envvar=True,
    help="Which version of it; the highest that is served unless given.",
)
@click.option(
    "--url",
    default="localhost:8001",
    show_default=True,
    envvar="TRITONSEG_URL",
    show_envvar=True,
    help="The server's gRPC port.",
)
@access_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("segmented"),
    show_default=True,
    help="Folder for the results.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there already.")
@click.option(
    "--resume", is_flag=True, help="Leave out pictures of which this model's results are there."
)
@click.option(
    "--in-flight",
    "max_in_flight",
    type=click.IntRange(1, 1024),
    default=8,
    show_default=True,
    metavar="N",
    help="How many pictures are segmented at once.",
)
@call_options
@click.option(
    "--coco",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a COCO data set of all that have results, those that were done before, too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one document per picture.")
def command(
    images: tuple[Path, ...],
    model: str,
    model_version: int | None,
    url: str,
    output: Path,
    overwrite: bool,
    resume: bool,
    max_in_flight: int,
    timeout_s: float,
    transport: Literal["raw", "encoded", "shared_memory"],
    tiling: Literal["auto"] | None,
    max_megapixels: int | None,
    as_json: bool,
    coco: Path | None,
    **access: Any,
) -> None:
    """Segment pictures and write three files for each; of a folder, all pictures in it.

    NAME.png has the class indices (grey, 8 bits), NAME.color.png their colours, NAME.overlay.jpg
    the picture under them. NAME is the picture's name without its suffix; where two would share a
    file, it has their folders too, or the whole name. No picture is ever overwritten.

    A picture that fails stops no other; it is named, and the exit code is 1.
    """
    arguments = ServerAccess(**access).client_arguments
    planned = result_files(_pictures(images, output), output, overwrite=overwrite or resume)
    _refuse_coco(coco, planned, overwrite=overwrite or resume)
    with written_in(output):
        output.mkdir(parents=True, exist_ok=True)
    client = SegmentationClient(
        url,
        model=model,
        model_version=None if model_version is None else str(model_version),
        timeout_s=timeout_s,
        transport=transport,
        limits=limits_of(max_megapixels),
        **arguments,
    )
    with client:
        left = left_to_do(planned, client.describe(), tiling) if resume else planned
        failed = segment_all(client, left, max_in_flight, tiling, as_json=as_json)
        if coco is not None:
            write_coco(coco, planned, client.describe(), tiling)
    if failed:
        raise some_failed(failed, of=len(left))


def _pictures(named: Sequence[Path], output: Path) -> list[Path]:
    """Return the pictures that are meant; refuse a folder without any, and that of the results."""
    files: list[Path] = []
    for path in named:
        if path.is_dir() and path.resolve() == output.resolve():
            raise click.ClickException(
                f"{path} is the folder for the results as well; give another with -o"
            )
        found = picture_files([path], results=output)
        if not found:
            raise click.ClickException(f"{path} holds no picture ({', '.join(SUFFIXES)})")
        files += found
    for file in unread_files(named, results=output):
        click.echo(f"left out, of a format that is not read: {file}", err=True)
    return files


def _refuse_coco(
    coco: Path | None, planned: Mapping[Path, ResultFiles], *, overwrite: bool
) -> None:
    """Refuse a data set in the place of a file that would be lost."""
    if coco is None or not coco.exists():
        return
    if any(coco.samefile(image) for image in planned):
        raise click.ClickException(f"{coco} is one of the pictures; give another file to --coco")
    if not overwrite:
        raise click.ClickException(
            f"{coco} would be replaced: give --overwrite or --resume, or another file"
        )
