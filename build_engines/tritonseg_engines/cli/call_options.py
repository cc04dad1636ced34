"""How a command asks for each picture: the options of `segment` and `bulk`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from tritonseg import ImageLimits

MOST_MEGAPIXELS: Final = 170
"""Of which Pillow opens the results again. Source: its `DecompressionBombError`."""
BYTES_PER_PIXEL: Final = 4
"""Most that a file takes for a picture of 8 bits a channel, alpha and all."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def call_options(command: _Command) -> _Command:
    """Add `timeout_s`, `transport`, `tiling` and `max_megapixels`."""
    for option in (
        click.option(
            "--max-megapixels",
            type=click.IntRange(1, MOST_MEGAPIXELS),
            metavar="N",
            help="Largest picture; 32 unless given.",
        ),
        click.option(
            "--tiling",
            type=click.Choice(["auto"]),
            help="Cut large pictures into tiles, by what the model says of itself.",
        ),
        click.option(
            "--transport",
            type=click.Choice(["raw", "encoded", "shared_memory"]),
            default="raw",
            show_default=True,
            envvar="TRITONSEG_TRANSPORT",
            show_envvar=True,
            help="Send pixels, or the files as they are, or share memory with a server on this "
            "host.",
        ),
        click.option(
            "--timeout",
            "timeout_s",
            type=click.FloatRange(min=0.1),
            default=30.0,
            show_default=True,
            envvar="TRITONSEG_TIMEOUT_S",
            show_envvar=True,
            metavar="SECONDS",
            help="For each picture.",
        ),
    ):
        command = option(command)
    return command


def limits_of(max_megapixels: int | None) -> ImageLimits | None:
    """Return limits for larger pictures, whose files are larger as well; None for the usual."""
    if max_megapixels is None:
        return None
    usual, max_pixels = ImageLimits(), max_megapixels * 1_000_000
    return ImageLimits(
        max_pixels=max_pixels, max_bytes=max(usual.max_bytes, BYTES_PER_PIXEL * max_pixels)
    )
