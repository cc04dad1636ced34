"""`tritonseg serve`: a real Triton from one command."""

from __future__ import annotations

import sys
from pathlib import Path

import click

PORT = click.IntRange(1, 65535)


@click.command(name="serve")
@click.argument("models", nargs=-1, metavar="[MODEL...]")
@click.option(
    "--repository",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out/model_repository"),
    show_default=True,
    help="Folder that `tritonseg build` wrote.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--grpc-port", type=PORT, default=8001, show_default=True)
@click.option("--http-port", type=PORT, help="Serve HTTP too; off unless given.")
@click.option("--metrics-port", type=PORT, help="Serve Prometheus metrics; off unless given.")
@click.option(
    "--ready-timeout",
    "ready_timeout_s",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
)
@click.option("--verbose", is_flag=True, help="Show the server's own log.")
def command(
    models: tuple[str, ...],
    repository: Path,
    host: str,
    grpc_port: int,
    http_port: int | None,
    metrics_port: int | None,
    ready_timeout_s: float,
    verbose: bool,
) -> None:
    """Start Triton on a model repository, all of it or MODELs only, and wait for Ctrl-C.

    Uses `tritonserver` from the PATH if there is one, else the binary in the nvidia-pytriton
    wheel, which `pip install 'tritonseg[serve]'` brings.
    """
    from tritonseg_engines.serving import ServerConfig, TritonServer, run_until_signal

    config = ServerConfig(
        repository=repository,
        host=host,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        ready_timeout_s=ready_timeout_s,
        models=models,
    )
    server = TritonServer(config, echo_to=sys.stderr if verbose else None)

    def announce() -> None:
        click.echo(f"ready: gRPC on {server.grpc_url}; Ctrl-C stops it")

    raise SystemExit(run_until_signal(server, on_ready=announce))
