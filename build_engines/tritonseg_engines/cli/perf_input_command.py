"""`tritonseg perf-input`: pictures for NVIDIA's perf_analyzer."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tritonseg import RequestRejectedError, SegmentationClient
from tritonseg_engines.cli.typed import quoted
from tritonseg_engines.picture_files import picture_files

if TYPE_CHECKING:
    from tritonseg_engines.perf_input import Transport

MIB: Final = 2**20
LARGE_MIB: Final = 1024
HELD_TIMES: Final = 2
"""Of the file, what perf_analyzer 2.60 needs of memory; measured: docs/interop.md."""
UNKNOWN_MODEL: Final = "MODEL"

Check = Callable[[Path], object]


@click.command(name="perf-input")
@click.argument(
    "pictures",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="PICTURE|FOLDER...",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("perf_input.json"),
    show_default=True,
    help="The file for perf_analyzer's --input-data.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that is there already.")
@click.option(
    "--transport",
    type=click.Choice(["raw", "encoded"]),
    default="raw",
    show_default=True,
    help="Pixels, or the files as they are.",
)
@click.option(
    "--model", help="Segment each picture once with this model, so that none is refused later."
)
@click.option("--url", default="localhost:8001", show_default=True, help="The server's gRPC port.")
def command(
    pictures: tuple[Path, ...],
    output: Path,
    overwrite: bool,
    transport: Transport,
    model: str | None,
    url: str,
) -> None:
    """Write the input data of a load test with perf_analyzer, a request for every picture.

    Pictures are read as `tritonseg segment` reads them; of a FOLDER all in and below it, in the
    order of their names. Ends with the line to type next.
    """
    from tritonseg_engines.perf_input import write_perf_input

    files = picture_files(pictures)
    _refuse(pictures, files, output, overwrite=overwrite)
    with _checked(model, url, transport) as check:
        written = write_perf_input(files, output, transport=transport, on_picture=check)
    mib = written.byte_count / MIB
    click.echo(f"wrote {output}: {counted(written.pictures)}, {mib:.1f} MiB")
    if mib > LARGE_MIB:
        click.echo(
            f"perf_analyzer reads all of it into memory, about {HELD_TIMES * mib / 1024:.0f} GiB; "
            "fewer pictures do as well"
        )
    line = ["perf_analyzer", "-m", model or UNKNOWN_MODEL, "-u", url, "-i", "grpc"]
    click.echo(f"next: {shlex.join(line)} --input-data {quoted(output.absolute())}")


def counted(pictures: int) -> str:
    """Return how many pictures there are, in words."""
    return "1 picture" if pictures == 1 else f"{pictures} pictures"


def _refuse(
    sources: Sequence[Path], files: Sequence[Path], output: Path, *, overwrite: bool
) -> None:
    if not files:
        folders = ", ".join(str(source) for source in sources)
        raise click.ClickException(f"{folders}: expected pictures, found none")
    if any(output.exists() and output.samefile(file) for file in files):
        raise click.ClickException(f"{output} is one of the pictures; give another file with -o")
    if output.exists() and not overwrite:
        raise click.ClickException(
            f"{output} would be replaced: give --overwrite, or another file with -o"
        )


@contextlib.contextmanager
def _checked(model: str | None, url: str, transport: Transport) -> Iterator[Check]:
    """Yield what each picture is held against: the model, if one is named."""
    if model is None:
        yield lambda _picture: None
        return
    with SegmentationClient(url, model=model, transport=transport) as client:
        if transport == "encoded" and not client.model.takes_files:
            raise click.ClickException(
                f"model '{model}' takes pixels, not files; give --transport raw"
            )

        def check(picture: Path) -> None:
            try:
                client.segment(picture)
            except RequestRejectedError as error:
                raise click.ClickException(f"{picture}: {error}") from error

        yield check
