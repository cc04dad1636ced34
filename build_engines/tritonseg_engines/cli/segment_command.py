"""`tritonseg segment`: pictures through a running server."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click
from PIL import Image

from tritonseg import Segmentation, SegmentationClient
from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.cli.result_names import ResultFiles, result_files

JPEG_QUALITY = 92


@click.command(name="segment")
@click.argument(
    "images",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="IMAGE...",
)
@click.option("--model", required=True, help="Name of the model on the server.")
@click.option(
    "--model-version",
    type=click.IntRange(min=1),
    metavar="N",
    help="Which version of it; the highest that is served unless given.",
)
@click.option("--url", default="localhost:8001", show_default=True, help="The server's gRPC port.")
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
    "--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=30.0, metavar="SECONDS"
)
@click.option(
    "--transport",
    type=click.Choice(["raw", "encoded"]),
    default="raw",
    show_default=True,
    help="Send pixels, or the files as they are.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one document per picture.")
def command(
    images: tuple[Path, ...],
    model: str,
    model_version: int | None,
    url: str,
    output: Path,
    overwrite: bool,
    timeout_s: float,
    transport: Literal["raw", "encoded"],
    as_json: bool,
) -> None:
    """Segment pictures and write three files for each.

    NAME.png has the class indices (grey, 8 bits), NAME.color.png their colours, NAME.overlay.jpg
    the picture under them. NAME is the picture's name without its suffix; where two would share a
    file, it has their folders too, or the whole name. No picture is ever overwritten.
    """
    planned = result_files(images, output, overwrite=overwrite)
    with _written_in(output):
        output.mkdir(parents=True, exist_ok=True)
    client = SegmentationClient(
        url,
        model=model,
        model_version=None if model_version is None else str(model_version),
        timeout_s=timeout_s,
        transport=transport,
    )
    with client:
        for image, files in planned.items():
            result = client.segment(image)
            _write(result, files)
            written = {name: str(path) for name, path in asdict(files).items()}
            summary = {"image": str(image), **result.to_dict(), **written}
            if as_json:
                click.echo(json.dumps(summary))
            else:
                click.echo(f"{image}: {describe(dict(result.coverage))}")


def _write(result: Segmentation, files: ResultFiles) -> None:
    overlay = result.overlay()
    with _written_in(files.class_map.parent):
        files.class_map.parent.mkdir(parents=True, exist_ok=True)
        result.save(files.class_map)
        write_atomically(files.color_map, _encoded(result.color_map(), "PNG"))
        write_atomically(files.overlay, _encoded(overlay, "JPEG", quality=JPEG_QUALITY))


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


def describe(coverage: dict[str, float], most: int = 5) -> str:
    """Return the largest classes as text, e.g. "road 41.0 %, building 22.3 %"."""
    largest = sorted(coverage.items(), key=lambda entry: -entry[1])[:most]
    return ", ".join(f"{name} {share:.1%}" for name, share in largest if share > 0)
