"""`tritonseg serve`: a real Triton from one command."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tritonseg_engines.cli.repository_option import built_repository_option

PORT = click.IntRange(0, 65535)
"""0 is a free one."""


@click.command(name="serve")
@click.argument("models", nargs=-1, metavar="[MODEL...]")
@built_repository_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--grpc-port", type=PORT, default=8001, show_default=True, help="0 for any that is free."
)
@click.option("--http-port", type=PORT, help="Serve HTTP too, 0 on a free port; off unless given.")
@click.option(
    "--metrics-port",
    type=PORT,
    help="Serve Prometheus metrics, 0 on a free port; off unless given.",
)
@click.option(
    "--metrics-host", default="127.0.0.1", show_default=True, help="Address of the metrics."
)
@click.option(
    "--ready-timeout",
    "ready_timeout_s",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
)
@click.option(
    "--drain-timeout",
    "drain_timeout_s",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How long requests in flight may take to end when it is stopped.",
)
@click.option(
    "--close",
    "closed_apis",
    multiple=True,
    metavar="API",
    help="An API of Triton's that no client may call, as model-repository or statistics; "
    "repeatable. shared-memory, trace and logging are closed anyway.",
)
@click.option("--verbose", is_flag=True, help="Show the server's own log.")
def command(
    models: tuple[str, ...],
    repository: Path,
    host: str,
    grpc_port: int,
    http_port: int | None,
    metrics_port: int | None,
    metrics_host: str,
    ready_timeout_s: float,
    drain_timeout_s: int,
    closed_apis: tuple[str, ...],
    verbose: bool,
) -> None:
    """Start Triton on a model repository, all of it or MODELs only, and wait for Ctrl-C.

    Uses `tritonserver` from the PATH if there is one, else the binary in the nvidia-pytriton
    wheel, which the extra `serve` brings. Exit code 0 once it was told to stop and did.
    """
    from tritonseg_engines.serving import ServerConfig, TritonServer, run_until_signal

    config = ServerConfig(
        repository=repository,
        host=host,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
        ready_timeout_s=ready_timeout_s,
        drain_timeout_s=drain_timeout_s,
        closed_apis=closed_apis,
        models=models,
    )
    server = TritonServer(config, echo_to=sys.stderr if verbose else None)

    def announce() -> None:
        urls = {"gRPC": server.grpc_url, "HTTP": server.http_url, "metrics": server.metrics_url}
        served = ", ".join(f"{what} on {url}" for what, url in urls.items() if url is not None)
        click.echo(f"ready: {served}; Ctrl-C stops it")

    raise SystemExit(run_until_signal(server, on_ready=announce))
