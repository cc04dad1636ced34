"""Models as one names them to be compared, parts of NAME@VERSION=URL, and their clients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import click

from tritonseg import SegmentationClient
from tritonseg_engines.cli.server_options import ServerAccess
from tritonseg_engines.evaluation.contender import Asked, Contender, check_different


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


def named_model(text: str, first: NamedModel, option: str = "--compare") -> NamedModel:
    """Return what a text means beside the first model.

    What it leaves out is the first's: "@2" is another version of it, "=host:8001" the same on
    another server. A name without a version means its highest.

    Args:
        text: As typed.
        first: The model that others are compared with.
        option: Where it was typed.

    Raises:
        click.BadParameter: It is no such text, or the first model itself.
    """
    model, equals, url = text.partition("=")
    name, at, version = model.partition("@")
    if not text or (equals and not url) or (at and not _is_version(version)):
        raise click.BadParameter(
            f"expected NAME, NAME@VERSION, @VERSION or =HOST:PORT, got {text!r}",
            param_hint=option,
        )
    named = NamedModel(
        name=name or first.name,
        version=version if at else (None if name or url else first.version),
        url=url or first.url,
    )
    if named == first:
        raise click.BadParameter(f"{text!r} is the first model itself", param_hint=option)
    return named


def _is_version(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0


@contextmanager
def connected(
    named: Sequence[NamedModel], asked: Asked, arguments: dict[str, Any]
) -> Iterator[list[Contender]]:
    """Yield the models with a client for each server, and close those.

    Args:
        named: The first is the one that the others are compared with.
        asked: What is asked of each.
        arguments: Of the clients, `timeout_s` among them.

    Raises:
        EvaluationError: They have no classes in common, or two are the same.
        SegmentationError: A server has no such model, or cannot be reached.
    """
    contenders: list[Contender] = []
    with ExitStack() as stack:
        clients = {
            url: stack.enter_context(SegmentationClient(url, **arguments))
            for url in dict.fromkeys(one.url for one in named)
        }
        for one in named:
            contenders.append(
                Contender.of(
                    clients[one.url],
                    one.url,
                    asked,
                    name=one.name,
                    version=one.version,
                    first=contenders[0].model if contenders else None,
                    patience_s=arguments["timeout_s"],
                )
            )
        check_different(contenders)
        yield contenders


def shown_to(named: Sequence[NamedModel], access: ServerAccess) -> dict[str, Any]:
    """Return what a client shows a server; what is meant for one is not shown to another.

    Raises:
        click.ClickException: There are several, and something is to be shown.
    """
    others = {one.url for one in named} - {named[0].url}
    if others and (access.headers or access.token or access.key):
        raise click.ClickException(
            f"--header, --token and --cert would be shown to {', '.join(sorted(others))} as well; "
            "compare models of one server, or call without them"
        )
    return access.client_arguments
