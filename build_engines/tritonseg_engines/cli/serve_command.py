"""`tritonseg serve`: a real Triton from one command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tritonseg_engines.cli.passing_command import PassingCommand
from tritonseg_engines.cli.repository_option import built_repositories_option

if TYPE_CHECKING:
    from tritonseg_engines.serving import ServerConfig
    from tritonseg_engines.verification.metrics import CanaryMetrics
    from tritonseg_engines.verification.watch import Repeats, Watch

PORT = click.IntRange(0, 65535)
"""0 is a free one."""


def _apis(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the names of APIs, each of which may be given alone or with others after commas."""
    from tritonseg_engines.serving.access import APIS

    names = tuple(name.strip() for value in values for name in value.split(","))
    for name in names:
        if name not in APIS:
            raise click.BadParameter(f"Triton has no API {name!r}: expected {', '.join(APIS)}")
    return names


@click.command(name="serve", cls=PassingCommand)
@click.argument("models", nargs=-1, metavar="[MODEL...]")
@built_repositories_option
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
    "--allow",
    "allowed_apis",
    multiple=True,
    callback=_apis,
    metavar="API",
    help="An API of Triton's to open: shared-memory, trace or logging, which are closed otherwise, "
    "or model-repository, to load and unload by request, so to run any code; repeatable, or with "
    "commas.",
)
@click.option(
    "--close",
    "closed_apis",
    multiple=True,
    callback=_apis,
    metavar="API",
    help="An API of Triton's that no client may call, as model-repository or statistics; "
    "repeatable, or with commas.",
)
@click.option(
    "--complete-configs",
    is_flag=True,
    help="Let Triton complete configs, as another team's models may need.",
)
@click.option(
    "--verify/--no-verify",
    "verifies",
    default=True,
    show_default=True,
    help="Hold files and canaries against the receipts of the builds before it is ready.",
)
@click.option(
    "--verify-every",
    "verify_every_s",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Ask about the canaries again while it serves, and end it if one is wrong; 0 for never.",
)
@click.option(
    "--verify-metrics-port",
    type=PORT,
    help="Serve the canaries' state to Prometheus, 0 on a free port; off unless given.",
)
@click.option("--verbose", is_flag=True, help="Show the server's own log.")
def command(
    models: tuple[str, ...],
    repositories: tuple[Path, ...],
    host: str,
    grpc_port: int,
    http_port: int | None,
    metrics_port: int | None,
    metrics_host: str,
    ready_timeout_s: float,
    drain_timeout_s: int,
    allowed_apis: tuple[str, ...],
    closed_apis: tuple[str, ...],
    complete_configs: bool,
    verifies: bool,
    verify_every_s: float,
    verify_metrics_port: int | None,
    verbose: bool,
    passed_on: tuple[str, ...],
) -> None:
    """Start Triton on model repositories, all of them or MODELs only, and wait for Ctrl-C.

    Options of tritonserver itself come after --, as in `tritonseg serve -- --log-verbose=1`.

    Uses `tritonserver` from the PATH if there is one, else the binary in the nvidia-pytriton
    wheel, which the extra `serve` brings. Exit code 0 once it was told to stop and did.
    """
    for api in set(allowed_apis) & set(closed_apis):
        raise click.UsageError(f"--allow {api} and --close {api} contradict each other")
    from tritonseg_engines.serving import ServerConfig, TritonServer, run_until_signal
    from tritonseg_engines.serving.foreground import MASKS_CHANGED
    from tritonseg_engines.verification.watch import Watch

    config = ServerConfig(
        repositories=repositories,
        host=host,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
        ready_timeout_s=ready_timeout_s,
        drain_timeout_s=drain_timeout_s,
        allowed_apis=allowed_apis,
        closed_apis=closed_apis,
        models=models,
        completes_configs=complete_configs,
        extra_arguments=passed_on,
    )
    watch = Watch(repositories, models) if verifies else None
    server = TritonServer(
        config,
        echo_to=sys.stderr if verbose else None,
        before_ready=watch.before_ready if watch is not None and watch.can_ask else None,
    )
    repeats = _repeats(watch, config, verify_every_s)
    metrics = _canary_metrics(
        watch,
        0.0 if repeats is None else verify_every_s,
        host=metrics_host,
        port=verify_metrics_port,
    )

    def announce() -> None:
        _tell_verified(watch)
        urls = {"gRPC": server.grpc_url, "HTTP": server.http_url, "metrics": server.metrics_url}
        urls["canaries"] = None if metrics is None else metrics.url
        served = ", ".join(f"{what} on {url}" for what, url in urls.items() if url is not None)
        click.echo(f"ready: {served}; Ctrl-C stops it")
        if repeats is not None:
            repeats.start(server.grpc_url)

    problem = None if repeats is None else repeats.problem
    exit_code = run_until_signal(server, on_ready=announce, problem=problem)
    if exit_code == MASKS_CHANGED and metrics is not None:
        metrics.wait_until_read()
    raise SystemExit(exit_code)


def _canary_metrics(
    watch: Watch | None, every_s: float, *, host: str, port: int | None
) -> CanaryMetrics | None:
    """Serve the metrics of what is asked; None where nothing is."""
    from tritonseg_engines.verification.metrics import CanaryMetrics

    if watch is None or port is None or not watch.can_ask:
        return None
    return CanaryMetrics(watch, every_s, host=host, port=port)


def _repeats(watch: Watch | None, config: ServerConfig, every_s: float) -> Repeats | None:
    """Return what asks again, None where nothing is to be asked or models come and go."""
    from tritonseg_engines.verification.watch import Repeats

    if watch is None or not watch.can_ask or not every_s or not config.keeps_its_models:
        return None
    return Repeats(watch, every_s)


def _tell_verified(watch: Watch | None) -> None:
    if watch is not None:
        lines = [line for result in watch.results for line in result.lines[:1]]
        for line in (*lines, *watch.remarks):
            click.echo(line, err=True)
