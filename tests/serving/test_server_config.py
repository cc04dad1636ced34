"""What a configuration refuses, which flags it becomes, and how its ports are held."""

from __future__ import annotations

import contextlib
import errno
import socket
from pathlib import Path

import pytest

from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.serving import ServerConfig
from tritonseg_engines.serving.config import Ports, triton_arguments
from tritonseg_engines.serving.ports import reserved_ports

REPOSITORY = Path("/models")


def arguments_of(config: ServerConfig, http: int | None = None) -> list[str]:
    return triton_arguments(
        config,
        Ports(grpc=1, http=http, metrics=None),
        server_id="id",
        repositories=[REPOSITORY],
        backend_directory=None,
        shm_prefix="prefix",
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"grpc_port": 65536}, "65536"),
        ({"metrics_port": -1}, "-1"),
        ({"grpc_port": 8001, "http_port": 8001}, "8001"),
        ({"ready_timeout_s": 0}, "ready_timeout_s"),
        ({"drain_timeout_s": -1}, "drain_timeout_s"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(ServerStartError, match=message):
        ServerConfig(repositories=(REPOSITORY,), **values)  # type: ignore[arg-type]


def test_only_grpc_is_open_by_default() -> None:
    arguments = arguments_of(ServerConfig(repositories=(REPOSITORY,)))
    assert "--allow-http=false" in arguments
    assert "--grpc-address=127.0.0.1" in arguments
    assert "--model-control-mode=none" in arguments


def test_the_key_to_the_closed_apis_is_another_one_each_time() -> None:
    config = ServerConfig(repositories=(REPOSITORY,))
    rules = {
        argument
        for _ in range(2)
        for argument in arguments_of(config)
        if argument.startswith("--grpc-restricted-protocol=shared-memory,")
    }
    assert len(rules) == 2


def test_own_rules_and_flags_come_last_and_close_nothing_less() -> None:
    own = ("--grpc-restricted-protocol=statistics,trace:admin=key", "--log-format=ISO8601")
    config = ServerConfig(repositories=(REPOSITORY,), http_port=0, extra_arguments=own)
    arguments = arguments_of(config, http=2)
    assert tuple(arguments[-2:]) == own
    (ours, _) = (one for one in arguments if one.startswith("--grpc-restricted-protocol"))
    assert ours.startswith("--grpc-restricted-protocol=shared-memory,logging:tritonseg-closed=")
    (http,) = (one for one in arguments if one.startswith("--http-restricted-api"))
    assert http.startswith("--http-restricted-api=shared-memory,trace,logging:tritonseg-closed=")


def test_a_held_port_is_open_to_a_server_and_closed_to_everybody_else() -> None:
    with reserved_ports(ServerConfig(repositories=(REPOSITORY,))) as ports:
        for port in (ports.grpc, ports.metrics):
            in_use = f"Errno {errno.EADDRINUSE}"
            with socket.socket() as stranger, pytest.raises(OSError, match=in_use):
                stranger.bind(("127.0.0.1", port))
            with socket.socket() as server:
                # As gRPC and libevent do, which Triton listens with.
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind(("127.0.0.1", port))
                server.listen()


def test_launchers_at_once_hold_different_ports() -> None:
    config = ServerConfig(repositories=(REPOSITORY,), http_port=0)
    with contextlib.ExitStack() as held:
        all_ports = [held.enter_context(reserved_ports(config)) for _ in range(100)]
    numbers = [number for ports in all_ports for number in (ports.grpc, ports.http, ports.metrics)]
    assert len(set(numbers)) == 300


def test_a_free_port_is_not_one_that_is_asked_for_by_number() -> None:
    with reserved_ports(ServerConfig(repositories=(REPOSITORY,))) as some:
        asked_for = some.grpc
    config = ServerConfig(repositories=(REPOSITORY,), grpc_port=0, metrics_port=asked_for)
    with reserved_ports(config) as ports:
        assert ports.metrics == asked_for
        assert ports.grpc != asked_for
