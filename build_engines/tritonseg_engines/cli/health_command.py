"""`tritonseg health`: one question to a server, answered by an exit code."""

from __future__ import annotations

import click


@click.command(name="health")
@click.option(
    "--url", metavar="HOST:PORT", default="localhost:8001", show_default=True, help="Of its gRPC."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
)
def command(url: str, timeout_s: float) -> None:
    """Ask a server by gRPC's own health protocol whether all its models are ready.

    Exit code 0 if it says SERVING, else 1; for a container's health check.
    """
    from tritonseg_engines.serving.health import health

    state = health(url, timeout_s=timeout_s)
    click.echo(state)
    if state != "SERVING":
        raise SystemExit(1)
