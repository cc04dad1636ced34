"""`tritonseg segment`: pictures through a running server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from tritonseg import SegmentationClient


@click.command(name="segment")
@click.argument(
    "images",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="IMAGE...",
)
@click.option("--model", required=True, help="Name of the model on the server.")
@click.option("--url", default="localhost:8001", show_default=True, help="The server's gRPC port.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("segmented"),
    show_default=True,
    help="Folder for the results.",
)
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
    url: str,
    output: Path,
    timeout_s: float,
    transport: Literal["raw", "encoded"],
    as_json: bool,
) -> None:
    """Segment pictures; write NAME.png (class indices) and NAME.overlay.jpg for each."""
    output.mkdir(parents=True, exist_ok=True)
    with SegmentationClient(url, model=model, timeout_s=timeout_s, transport=transport) as client:
        for image in images:
            result = client.segment(image)
            result.save(output / f"{image.stem}.png")
            result.overlay().save(output / f"{image.stem}.overlay.jpg", quality=92)
            summary = {"image": str(image), **result.to_dict()}
            if as_json:
                click.echo(json.dumps(summary))
            else:
                click.echo(f"{image}: {describe(dict(result.coverage))}")


def describe(coverage: dict[str, float], most: int = 5) -> str:
    """Return the largest classes as text, e.g. "road 41.0 %, building 22.3 %"."""
    largest = sorted(coverage.items(), key=lambda entry: -entry[1])[:most]
    return ", ".join(f"{name} {share:.1%}" for name, share in largest if share > 0)
