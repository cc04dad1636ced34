"""Models as one names them to be compared: NAME@VERSION=URL, of which parts may be left out."""

from __future__ import annotations

from dataclasses import dataclass

import click


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedModel:
    """A model on a server.

    Attributes:
        name: On the server.
        version: Of it; None for the highest.
        url: The server's gRPC address.
    """

    name: str
    version: str | None
    url: str


def named_model(text: str, first: NamedModel) -> NamedModel:
    """Return what a text means beside the first model.

    What it leaves out is the first's: "@2" is another version of it, "=host:8001" the same on
    another server. A name without a version means its highest.

    Args:
        text: As typed.
        first: The model that others are compared with.

    Raises:
        click.BadParameter: It is no such text, or the first model itself.
    """
    model, equals, url = text.partition("=")
    name, at, version = model.partition("@")
    if not text or (equals and not url) or (at and not _is_version(version)):
        raise click.BadParameter(
            f"expected NAME, NAME@VERSION, @VERSION or =HOST:PORT, got {text!r}",
            param_hint="--compare",
        )
    named = NamedModel(
        name=name or first.name,
        version=version if at else (None if name or url else first.version),
        url=url or first.url,
    )
    if named == first:
        raise click.BadParameter(f"{text!r} is the first model itself", param_hint="--compare")
    return named


def _is_version(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0
