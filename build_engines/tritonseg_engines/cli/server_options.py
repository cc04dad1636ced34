"""How a command reaches the server that it is to call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from tritonseg_engines.server_access import Access

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAccess:
    """What a server wants to see of who calls.

    Attributes:
        headers: Sent with every call, each "NAME=VALUE".
        token: Sent as a bearer's, over TLS only; None for none.
        tls: Whether the connection is encrypted.
        ca: Certificates (PEM) that the server's has to come from; None for the system's.
        cert: The client's own certificate (PEM), with `key`; None for none.
        key: Its private key (PEM).
    """

    headers: Sequence[str]
    token: str | None
    tls: bool
    ca: Path | None
    cert: Path | None
    key: Path | None

    @property
    def client_arguments(self) -> dict[str, Any]:
        """The arguments of a `SegmentationClient`.

        Raises:
            click.ClickException: They cannot work together.
        """
        return self.read().client_arguments

    def read(self) -> Access:
        """Return what the files hold, which other machines may not have.

        Raises:
            click.ClickException: The options cannot work together.
        """
        if (self.cert is None) is not (self.key is None):
            raise click.ClickException("--cert and --key go together")
        ca, cert, key = (
            None if path is None else path.read_bytes() for path in (self.ca, self.cert, self.key)
        )
        return Access(
            headers=self._named_headers(),
            token=self.token or None,
            tls=self.tls,
            ca=ca,
            cert=cert,
            key=key,
        )

    def _named_headers(self) -> dict[str, str]:
        pairs = [header.partition("=") for header in self.headers]
        if not all(name and equals for name, equals, _ in pairs):
            raise click.BadParameter("expected NAME=VALUE", param_hint="--header")
        return {name.lower(): value for name, _, value in pairs}


def access_options(command: _Command) -> _Command:
    """Add the options that `ServerAccess` is made of, by its names."""
    pem = click.Path(exists=True, dir_okay=False, path_type=Path)
    for option in (
        click.option("--key", type=pem, help="Its private key (PEM)."),
        click.option("--cert", type=pem, help="The client's own certificate (PEM), with --key."),
        click.option("--ca", type=pem, help="TLS with these certificates (PEM), not the system's."),
        click.option(
            "--tls",
            is_flag=True,
            help="Encrypt.",
        ),
        click.option(
            "--token",
            envvar="TRITONSEG_TOKEN",
            show_envvar=True,
            help="Sent as a bearer's, over TLS only; better by the variable, which nobody sees.",
        ),
        click.option(
            "--header",
            "headers",
            multiple=True,
            metavar="NAME=VALUE",
            help="Sent with every call, for a server that asks for it; repeatable.",
        ),
    ):
        command = option(command)
    return command
