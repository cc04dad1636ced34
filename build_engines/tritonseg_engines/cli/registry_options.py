"""Options of the commands that talk to a registry."""

from __future__ import annotations

import click

plain_http_option = click.option(
    "--plain-http",
    is_flag=True,
    help="Do without TLS; for a registry on this machine that is not needed.",
)
