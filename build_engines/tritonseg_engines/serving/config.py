"""What one server is asked to do, and the command line that asks it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tritonseg_engines.errors import ServerStartError

_MAX_PORT: Final = 65535
_CLOSED_APIS: Final = ("shared-memory", "trace", "logging")
"""Registering foreign memory, and writing files by request: nothing a client of ours needs."""
_OF_CHANGING_MODELS: Final = {
    "--model-control-mode",
    "--grpc-restricted-protocol",
    "--http-restricted-api",
}
"""Flags with which models may be loaded and unloaded while the server runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """One Triton server.

    Ports follow the sockets convention: 0 takes a free one, None does not serve that protocol.

    Attributes:
        repository: Model repository; every model in it is loaded, unless `models` names some.
        models: Load only these; an ensemble brings its steps. Empty for all.
        host: IPv4 address or name on which gRPC and HTTP listen.
        grpc_port: Port of gRPC.
        http_port: Port of HTTP, which is closed unless asked for.
        metrics_host: Where the Prometheus metrics listen: by default not beyond this machine.
        metrics_port: Port of the metrics.
        ready_timeout_s: How long all models together may take to load, in seconds.
        drain_timeout_s: How long `stop` waits for requests in flight and for models to unload, in
            whole seconds. Triton needs about 3 for that even when idle.
        closed_apis: Triton's APIs that no client may call, besides those by which foreign memory is
            registered, files are written, or models loaded.
        extra_arguments: Further `tritonserver` flags, after ours. Paths in them must be absolute;
            health and metadata must stay open, because readiness is asked through them.

    Raises:
        ServerStartError: A value no server can be started with.
    """

    repository: Path
    models: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    grpc_port: int = 0
    http_port: int | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = 0
    ready_timeout_s: float = 60
    drain_timeout_s: int = 10
    closed_apis: tuple[str, ...] = ()
    extra_arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ports = [self.grpc_port, self.http_port, self.metrics_port]
        if any(port is not None and not 0 <= port <= _MAX_PORT for port in ports):
            raise ServerStartError(f"a port is 0 (a free one) to {_MAX_PORT}; got {ports}")
        given = [port for port in ports if port]
        if len(set(given)) != len(given):
            raise ServerStartError(f"gRPC, HTTP and metrics need a port each; got {ports}")
        if self.ready_timeout_s <= 0 or self.drain_timeout_s < 0:
            raise ServerStartError(
                "ready_timeout_s must be above 0 and drain_timeout_s at least 0; got "
                f"{self.ready_timeout_s} and {self.drain_timeout_s}"
            )

    @property
    def extra_flags(self) -> set[str]:
        """Names of the flags among `extra_arguments`."""
        return {argument.partition("=")[0] for argument in self.extra_arguments}

    @property
    def keeps_its_models(self) -> bool:
        """Whether the models that are there at the start stay until the end."""
        return not self.extra_flags & _OF_CHANGING_MODELS


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """The ports a server listens on; None where a protocol is off."""

    grpc: int
    http: int | None
    metrics: int | None


def triton_arguments(
    config: ServerConfig,
    ports: Ports,
    *,
    server_id: str,
    repository: Path,
    backend_directory: Path | None,
    shm_prefix: str,
) -> list[str]:
    """Return the flags for `tritonserver`, all of which 24.10 to 26.x know.

    Args:
        config: What is asked for.
        ports: Where it shall listen.
        server_id: What it shall call itself.
        repository: The repository's path as the server is to see it.
        backend_directory: Where the backends are; None for the server's own default.
        shm_prefix: How the Python backend's shared-memory regions shall begin.

    Source: `tritonserver --help` of 24.10; `src/command_line_parser.cc` of the server.
    """
    arguments = [
        f"--id={server_id}",
        f"--model-repository={repository}",
        "--exit-on-error=true",
        "--strict-readiness=true",
        "--disable-auto-complete-config",
        f"--exit-timeout-secs={config.drain_timeout_s}",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        # The stub's own limit is 30 s, which a large engine on a small CPU exceeds.
        f"--backend-config=python,stub-timeout-seconds={max(30, round(config.ready_timeout_s))}",
    ]
    if backend_directory is not None:
        arguments.append(f"--backend-directory={backend_directory}")
    return [
        *arguments,
        *_model_arguments(config),
        *_endpoint_arguments(config, ports),
        *_closed_api_arguments(config),
        *config.extra_arguments,
    ]


def _model_arguments(config: ServerConfig) -> list[str]:
    if not config.models:
        return ["--model-control-mode=none"]
    return ["--model-control-mode=explicit", *(f"--load-model={name}" for name in config.models)]


def _endpoint_arguments(config: ServerConfig, ports: Ports) -> list[str]:
    arguments = ["--allow-grpc=true", f"--grpc-address={config.host}", f"--grpc-port={ports.grpc}"]
    if ports.http is None:
        arguments += ["--allow-http=false"]
    else:
        arguments += ["--allow-http=true", f"--http-address={config.host}"]
        arguments += [f"--http-port={ports.http}"]
    if ports.metrics is None:
        arguments += ["--allow-metrics=false"]
    else:
        arguments += ["--allow-metrics=true", f"--metrics-address={config.metrics_host}"]
        arguments += [f"--metrics-port={ports.metrics}"]
    return arguments


def _closed_api_arguments(config: ServerConfig) -> list[str]:
    """Close APIs by demanding a header nobody knows; one switch that every version has."""
    # Loading by name opens the model-control API, by which code could be loaded as well.
    loading = ["model-repository"] if config.models else []
    closed = dict.fromkeys([*_CLOSED_APIS, *loading, *config.closed_apis])
    rule = f"{','.join(closed)}:tritonseg-closed={secrets.token_hex(16)}"
    flags = ["--grpc-restricted-protocol"]
    if config.http_port is not None:
        flags.append("--http-restricted-api")
    # Triton refuses an API in two rules, so whoever brings rules brings all of them.
    return [f"{flag}={rule}" for flag in flags if flag not in config.extra_flags]
