"""What one server is asked to do, and the command line that asks it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.serving.access import (
    CLIENT_MEMORY,
    CLOSED_APIS,
    MODEL_CONTROL,
    RULES,
    closing_flags,
    grpc_headers,
    refuse_access,
    ruled_apis,
)
from tritonseg_engines.serving.passed_on import Option, options, refuse_decided

_MAX_PORT: Final = 65535


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """One Triton server.

    Ports follow the sockets convention: 0 takes a free one, None does not serve that protocol.

    Attributes:
        repositories: Model repositories, which share no model's name; every model in them is
            loaded, unless `models` names some.
        models: Load only these; an ensemble brings its steps. Empty for all.
        host: IPv4 address or name on which gRPC and HTTP listen.
        grpc_port: Port of gRPC.
        http_port: Port of HTTP, which is closed unless asked for.
        metrics_host: Where the Prometheus metrics listen: by default not beyond this machine.
        metrics_port: Port of the metrics.
        ready_timeout_s: How long all models together may take to load, in seconds.
        drain_timeout_s: How long `stop` waits for requests in flight and for models to unload, in
            whole seconds. Triton needs about 3 for that even when idle.
        allowed_apis: Triton's APIs that clients may call although they are closed otherwise:
            `access.CLOSED_APIS`, and `access.MODEL_CONTROL`, by which they then load and unload.
        closed_apis: Triton's APIs that no client may call, besides those.
        completes_configs: Whether Triton and its backends add to configs what is missing in them,
            which those of a build do not need.
        extra_arguments: Further `tritonserver` options, after ours, but for those that
            `passed_on.DECIDED` has. Rules of their own for APIs replace ours for these APIs.

    Raises:
        ServerStartError: A value no server can be started with.
    """

    repositories: tuple[Path, ...]
    models: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    grpc_port: int = 0
    http_port: int | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = 0
    ready_timeout_s: float = 60
    drain_timeout_s: int = 10
    allowed_apis: tuple[str, ...] = ()
    closed_apis: tuple[str, ...] = ()
    completes_configs: bool = False
    extra_arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.repositories:
            raise ServerStartError("expected a model repository at least, got none")
        self._refuse_ports_and_times()
        refuse_access(allowed=self.allowed_apis, closed=self.closed_apis, ruled=self._ruled)
        refuse_decided(
            self.extra_arguments, models_are_chosen=bool(self.models) or self.loads_by_request
        )

    def _refuse_ports_and_times(self) -> None:
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
    def loads_by_request(self) -> bool:
        """Whether clients may load and unload models."""
        return MODEL_CONTROL in self.allowed_apis

    @property
    def keeps_its_models(self) -> bool:
        """Whether the models that are there at the start stay until the end."""
        changes = self.loads_by_request or (self.models and MODEL_CONTROL in self._ruled)
        return not changes and not self.polls

    @property
    def polls(self) -> bool:
        """Whether Triton itself looks for models that came, changed or went."""
        # That is the only value that is handed on.
        mode = "--model-control-mode"
        return any(mode.startswith(name) for name, _ in options(self.extra_arguments))

    @property
    def takes_client_memory(self) -> bool:
        """Whether clients may register memory of theirs, all or those who know a header."""
        return "shared-memory" in (*self.allowed_apis, *self._ruled)

    @property
    def refused_apis(self) -> tuple[str, ...]:
        """APIs that are open to nobody, but for rules of their own."""
        # Loading by name opens the model-control API, by which code could be loaded as well.
        loading = (MODEL_CONTROL,) if self.models else ()
        closed = (*CLOSED_APIS, *loading, *self.closed_apis)
        return tuple(api for api in closed if api not in self.allowed_apis)

    @property
    def can_be_held_back(self) -> bool:
        """Whether the server can be kept from being ready, which takes loading by request.

        Triton has one switch for that and for listing models. So only where clients may do neither,
        or both.
        """
        is_closed = MODEL_CONTROL in self.refused_apis
        return (is_closed or self.loads_by_request) and not self.polls

    @property
    def rules(self) -> list[Option]:
        """Those of `extra_arguments` that demand a header for some APIs."""
        given = options(self.extra_arguments)
        return [one for one in given if any(rule.startswith(one.name) for rule in RULES)]

    @property
    def _ruled(self) -> tuple[str, ...]:
        return ruled_apis(rule for _, rule in self.rules)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """The ports a server listens on; None where a protocol is off."""

    grpc: int
    http: int | None
    metrics: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldBack:
    """How a server is kept from being ready.

    Attributes:
        model: Name of the model that fails to load.
        key: With which its launcher, and nobody else, may load and unload.
    """

    model: str
    key: str

    def headers(self, config: ServerConfig) -> dict[str, str]:
        """Return the headers of a call that loads or unloads by gRPC."""
        return grpc_headers(MODEL_CONTROL, config.refused_apis, config.rules, self.key)


def triton_arguments(
    config: ServerConfig,
    ports: Ports,
    *,
    server_id: str,
    repositories: Sequence[Path],
    backend_directory: Path | None,
    shm_prefix: str,
    known_options: Collection[str] = (),
    gate: HeldBack | None = None,
) -> list[str]:
    """Return the flags for `tritonserver`, all of which 24.10 to 26.x know.

    Args:
        config: What is asked for.
        ports: Where it shall listen.
        server_id: What it shall call itself.
        repositories: The repositories' paths as the server is to see them.
        backend_directory: Where the backends are; None for the server's own default.
        shm_prefix: How the Python backend's shared-memory regions shall begin.
        known_options: What this `tritonserver` knows beyond that.
        gate: What keeps it from being ready; None if nothing does.

    Source: `tritonserver --help` of 24.10; `src/command_line_parser.cc` of the server.
    """
    arguments = [
        f"--id={server_id}",
        *(f"--model-repository={repository}" for repository in repositories),
        f"--exit-on-error={'true' if gate is None else 'false'}",  # the gate is an error
        "--strict-readiness=true",
        f"--exit-timeout-secs={config.drain_timeout_s}",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        # The stub's own limit is 30 s, which a large engine on a small CPU exceeds.
        f"--backend-config=python,stub-timeout-seconds={max(30, round(config.ready_timeout_s))}",
    ]
    if not config.completes_configs:
        arguments.append("--disable-auto-complete-config")
    if backend_directory is not None:
        arguments.append(f"--backend-directory={backend_directory}")
    if config.takes_client_memory and CLIENT_MEMORY in known_options:
        arguments.append(f"{CLIENT_MEMORY}=true")
    return [
        *arguments,
        *_model_arguments(config, gate),
        *_endpoint_arguments(config, ports),
        *closing_flags(config.refused_apis, config.rules, None if gate is None else gate.key),
        *config.extra_arguments,
    ]


def _model_arguments(config: ServerConfig, gate: HeldBack | None) -> list[str]:
    if not config.models and not config.loads_by_request and gate is None:
        return ["--model-control-mode=none"]
    loaded = config.models or ("*",)
    if gate is not None and config.models:
        loaded = (*loaded, gate.model)
    return ["--model-control-mode=explicit", *(f"--load-model={name}" for name in loaded)]


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
