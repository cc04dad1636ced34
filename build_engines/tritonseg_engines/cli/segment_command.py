"""`tritonseg segment`: pictures through a running server."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Literal

import click
from PIL import Image

from tritonseg import (
    AccessDeniedError,
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    ImageLimits,
    ModelInfo,
    ModelNotFoundError,
    ModelNotReadyError,
    ProtocolError,
    Segmentation,
    SegmentationClient,
    SegmentationError,
)
from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.cli.made_by import class_map_png, is_done, made_by
from tritonseg_engines.cli.progress_bars import progress_bars
from tritonseg_engines.cli.result_names import ResultFiles, result_files
from tritonseg_engines.cli.server_options import ServerAccess, access_options
from tritonseg_engines.picture_files import SUFFIXES, picture_files

JPEG_QUALITY = 92
MOST_MEGAPIXELS: Final = 170
"""Of which Pillow opens the results again. Source: its `DecompressionBombError`."""
BYTES_PER_PIXEL: Final = 4
"""Most that a file takes for a picture of 8 bits a channel, alpha and all."""
SEGMENTING: Final = "segmenting"
NAMED_FAILURES: Final = 10
"""In the last line; each has had a line of its own before."""
OF_THE_SERVER: Final = (
    AccessDeniedError, ClientClosedError, ConfigurationError, ConnectError, ModelNotFoundError,
    ModelNotReadyError, ProtocolError,
)  # fmt: skip
"""What the next picture would meet as well."""


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
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.1),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="For each picture.",
)
@click.option(
    "--transport",
    type=click.Choice(["raw", "encoded", "shared_memory"]),
    default="raw",
    show_default=True,
    envvar="TRITONSEG_TRANSPORT",
    show_envvar=True,
    help="Send pixels, or the files as they are, or share memory with a server on this host.",
)
@click.option(
    "--tiling",
    type=click.Choice(["auto"]),
    help="Cut large pictures into tiles, by what the model says of itself.",
)
@click.option(
    "--max-megapixels",
    type=click.IntRange(1, MOST_MEGAPIXELS),
    metavar="N",
    help="Largest picture; 32 unless given.",
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
    with _written_in(output):
        output.mkdir(parents=True, exist_ok=True)
    client = SegmentationClient(
        url,
        model=model,
        model_version=None if model_version is None else str(model_version),
        timeout_s=timeout_s,
        transport=transport,
        limits=_limits(max_megapixels),
        **arguments,
    )
    with client:
        if resume:
            planned = _left_to_do(planned, client.describe(), tiling)
        _segment_all(client, planned, max_in_flight, tiling, as_json=as_json)


def _limits(max_megapixels: int | None) -> ImageLimits | None:
    """Return limits for larger pictures, whose files are larger as well; None for the usual."""
    if max_megapixels is None:
        return None
    usual, max_pixels = ImageLimits(), max_megapixels * 1_000_000
    return ImageLimits(
        max_pixels=max_pixels, max_bytes=max(usual.max_bytes, BYTES_PER_PIXEL * max_pixels)
    )


def _left_to_do(
    planned: Mapping[Path, ResultFiles], model: ModelInfo, tiling: str | None
) -> Mapping[Path, ResultFiles]:
    """Return the pictures that have no results of this model and of what they are now."""
    left = {
        image: files
        for image, files in planned.items()
        if not is_done(files, made_by(image.stat(), model, tiling))
    }
    click.echo(f"{len(planned) - len(left)} of {len(planned)} pictures are done", err=True)
    return left


def _segment_all(
    client: SegmentationClient,
    planned: Mapping[Path, ResultFiles],
    max_in_flight: int,
    tiling: Literal["auto"] | None,
    *,
    as_json: bool,
) -> None:
    """Segment pictures, write and print what comes; one that fails stops no other."""
    seen = {image: image.stat() for image in planned}
    failed: list[Path] = []
    with progress_bars() as progress:
        outcomes = client.segment_many(planned, max_in_flight=max_in_flight, tiling=tiling)
        for done, (image, outcome) in enumerate(outcomes):
            progress(SEGMENTING, done, len(planned))
            try:
                _write(image, seen[image], outcome, planned[image], as_json=as_json)
            except SegmentationError as error:
                if len(planned) == 1 or isinstance(error, OF_THE_SERVER):
                    if done:
                        click.echo(f"{done} of {len(planned)} are done; --resume goes on", err=True)
                    raise
                _tell_failure(image, error, as_json=as_json)
                failed.append(image)
    if failed:
        named = ", ".join(map(str, failed[:NAMED_FAILURES]))
        more = ", ..." if len(failed) > NAMED_FAILURES else ""
        raise click.ClickException(
            f"{len(failed)} of {len(planned)} pictures could not be segmented: {named}{more}"
        )


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
    return files


def _write(
    image: Path,
    seen: os.stat_result,
    outcome: Segmentation | SegmentationError,
    files: ResultFiles,
    *,
    as_json: bool,
) -> None:
    """Write and print what became of a picture.

    Raises:
        SegmentationError: It could not be segmented, or is no picture to Pillow here.
    """
    if isinstance(outcome, SegmentationError):
        raise outcome
    overlay = outcome.overlay()
    with _written_in(files.class_map.parent):
        files.class_map.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(files.color_map, _encoded(outcome.color_map(), "PNG"))
        write_atomically(files.overlay, _encoded(overlay, "JPEG", quality=JPEG_QUALITY))
        # At last, because it says that the picture is done.
        maker = made_by(seen, outcome.model, None if outcome.tiling is None else "auto")
        write_atomically(files.class_map, class_map_png(outcome.class_map, maker))
    if as_json:
        written = {name: str(path) for name, path in asdict(files).items()}
        click.echo(json.dumps({"image": str(image), **outcome.to_dict(), **written}))
    else:
        click.echo(f"{image}: {describe(outcome.coverage)}")
    if outcome.tiling is not None and outcome.tiling.reason is not None:
        told = f"{image}: in {outcome.tiling.tile_count} tiles, which may differ from the whole"
        click.echo(f"{told}: {outcome.tiling.reason}", err=True)


def _tell_failure(image: Path, error: SegmentationError, *, as_json: bool) -> None:
    message = str(error)
    if as_json:
        failure = {"image": str(image), "error": message, "kind": type(error).__name__}
        click.echo(json.dumps(failure))
    click.echo(message if str(image) in message else f"{image}: {message}", err=True)


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@contextmanager
def _written_in(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into one line."""
    try:
        yield
    except OSError as error:
        advice = "give another folder with -o"
        if error.errno == errno.ENAMETOOLONG:
            advice = "give the picture a shorter name"
        raise click.ClickException(
            f"{folder}: results cannot be written there: {error.strerror or error}; {advice}"
        ) from error


def describe(coverage: Mapping[str, float], most: int = 5) -> str:
    """Return the largest classes as text, e.g. "road 41.0 %, building 22.3 %"."""
    largest = sorted(coverage.items(), key=lambda entry: -entry[1])[:most]
    return ", ".join(f"{name} {share:.1%}" for name, share in largest if share > 0)
