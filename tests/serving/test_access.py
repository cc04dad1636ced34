"""APIs that are closed by default work where they are asked for, over gRPC and HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
import tritonclient.utils.shared_memory as regions
from click.testing import CliRunner
from tritonclient.utils import InferenceServerException

from tritonseg_engines.cli.app import cli
from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.serving import ServerConfig, TritonInstallation, TritonServer
from tritonseg_engines.serving._keeper import STUB_LOST
from tritonseg_engines.serving.access import APIS
from tritonseg_engines.serving.config import Ports, triton_arguments

Asker = tuple[ModuleType, Any]


@pytest.fixture(scope="module")
def server(
    installation: TritonInstallation,
    tmp_path_factory: pytest.TempPathFactory,
    write_model: Callable[..., Path],
) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("open") / "models"
    write_model(repository, "echo")
    write_model(repository, "other")
    config = ServerConfig(
        repositories=(repository,),
        http_port=0,
        allowed_apis=("shared-memory", "model-repository", "trace", "logging"),
    )
    with TritonServer(config, installation=installation) as running:
        yield running


@pytest.fixture(params=["grpc", "http"])
def asker(request: pytest.FixtureRequest, server: TritonServer) -> Iterator[Asker]:
    module = {"grpc": triton_grpc, "http": triton_http}[request.param]
    url = {"grpc": server.grpc_url, "http": server.http_url}[request.param]
    with module.InferenceServerClient(url) as client:
        yield module, client


def test_tensors_cross_memory_of_the_client(asker: Asker, server: TritonServer) -> None:
    triton, client = asker
    sent = np.random.default_rng(0).integers(0, 256, 10_000, np.uint8)
    name = f"tritonseg_test_{server.pid}_{triton.__name__}"
    region = regions.create_shared_memory_region(name, f"/{name}", 2 * sent.nbytes)
    try:
        regions.set_shared_memory_region(region, [sent])
        client.register_system_shared_memory(name, f"/{name}", 2 * sent.nbytes)
        tensor = triton.InferInput("IN", [sent.size], "UINT8")
        tensor.set_shared_memory(name, sent.nbytes)
        output = triton.InferRequestedOutput("OUT")
        output.set_shared_memory(name, sent.nbytes, offset=sent.nbytes)
        client.infer("echo", [tensor], outputs=[output])
        received = regions.get_contents_as_numpy(region, np.uint8, [sent.size], offset=sent.nbytes)
        assert np.array_equal(received, sent)
        client.unregister_system_shared_memory(name)
    finally:
        regions.destroy_shared_memory_region(region)


def test_models_are_listed_unloaded_and_loaded_by_request(
    asker: Asker, server: TritonServer, infer: Callable[..., Any]
) -> None:
    triton, client = asker
    kind = {"as_json": True} if triton is triton_grpc else {}
    index = client.get_model_repository_index(**kind)
    models = index["models"] if triton is triton_grpc else index
    assert {(model["name"], model["state"]) for model in models} == {
        ("echo", "READY"),
        ("other", "READY"),
    }
    client.unload_model("other")
    stubs = psutil.Process(server.pid).children()
    deadline = time.monotonic() + 20
    while client.is_model_ready("other") or len(psutil.Process(server.pid).children()) == 2:
        assert time.monotonic() < deadline, stubs
        time.sleep(0.1)
    time.sleep(2.5)
    assert server.is_running, "an unloaded model's process is none that was lost"
    with pytest.raises(InferenceServerException, match="other"):
        infer(server.grpc_url, "other")
    client.load_model("other")
    assert client.is_model_ready("other")
    assert client.is_server_ready()
    assert infer(server.grpc_url, "other", b"again").tobytes() == b"again"


def test_trace_and_logging_answer(asker: Asker) -> None:
    _, client = asker
    assert client.get_trace_settings()
    assert client.get_log_settings()


def test_where_models_come_and_go_one_that_died_ends_the_server(
    installation: TritonInstallation,
    repository: Path,
    write_model: Callable[..., Path],
    is_gone: Callable[..., bool],
) -> None:
    config = ServerConfig(repositories=(repository,), allowed_apis=("model-repository",))
    assert not config.keeps_its_models
    with TritonServer(config, installation=installation) as server:
        process = psutil.Process(server.pid)
        (first,) = process.children()
        with triton_grpc.InferenceServerClient(server.grpc_url) as client:
            client.unload_model("echo")
            assert is_gone([first], within_s=20)
            client.load_model("echo")
            write_model(repository, "broken", initialize="import os; os._exit(3)")
            with pytest.raises(InferenceServerException, match="not healthy"):
                client.load_model("broken")
            time.sleep(7)
            assert server.is_running, "a process that ended while it was loaded is none that died"
            assert client.is_model_ready("echo")
        (stub,) = process.children()
        stub.kill()
        assert is_gone([process, stub], within_s=12)
        assert server.wait(timeout_s=5) == STUB_LOST


def test_a_rule_of_its_own_opens_an_api_to_those_who_know_its_header(
    installation: TritonInstallation, repository: Path
) -> None:
    config = ServerConfig(
        repositories=(repository,),
        allowed_apis=("model-repository",),
        extra_arguments=("--grpc-restricted-protocol=model-repository,logging:admin=secret",),
    )
    known = {"triton-grpc-protocol-admin": "secret"}
    with (
        TritonServer(config, installation=installation) as server,
        triton_grpc.InferenceServerClient(server.grpc_url) as client,
    ):
        for headers in (None, {"triton-grpc-protocol-admin": "guessed"}):
            with pytest.raises(InferenceServerException, match="restricted"):
                client.load_model("echo", headers=headers)
        client.load_model("echo", headers=known)
        assert client.get_log_settings(headers=known)
        with pytest.raises(InferenceServerException, match="restricted"):
            client.get_trace_settings(headers=known)


def arguments_of(config: ServerConfig, **more: Any) -> list[str]:
    return triton_arguments(
        config,
        Ports(grpc=1, http=None, metrics=None),
        server_id="id",
        repositories=config.repositories,
        backend_directory=None,
        shm_prefix="prefix",
        **more,
    )


@pytest.mark.parametrize(
    ("values", "closed"),
    [
        ({}, "shared-memory,trace,logging"),
        ({"models": ("a",)}, "shared-memory,trace,logging,model-repository"),
        ({"models": ("a",), "allowed_apis": ("model-repository",)}, "shared-memory,trace,logging"),
        ({"allowed_apis": ("trace", "inference")}, "shared-memory,logging"),
        ({"closed_apis": ("statistics",)}, "shared-memory,trace,logging,statistics"),
        ({"allowed_apis": ("shared-memory", "trace", "logging")}, None),
    ],
)
def test_what_is_closed(values: dict[str, Any], closed: str | None) -> None:
    arguments = arguments_of(ServerConfig(repositories=(Path("/models"),), **values))
    rules = [one.split("=")[1] for one in arguments if one.startswith("--grpc-restricted")]
    assert rules == ([] if closed is None else [f"{closed}:tritonseg-closed"])


@pytest.mark.parametrize("allowed", [(), ("shared-memory",)])
@pytest.mark.parametrize("known", [set(), {"--allow-client-shm"}])
def test_a_triton_with_a_switch_for_client_memory_has_it_turned(
    allowed: tuple[str, ...], known: set[str]
) -> None:
    config = ServerConfig(repositories=(Path("/models"),), allowed_apis=allowed)
    arguments = arguments_of(config, known_options=known)
    assert ("--allow-client-shm=true" in arguments) == bool(known and allowed)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"allowed_apis": ("nothing",)}, "no API 'nothing'; expected one of health, .* logging"),
        ({"closed_apis": ("nothing",)}, "no API 'nothing'"),
        ({"allowed_apis": ("trace",), "closed_apis": ("trace",)}, "both --close and --allow"),
        ({"closed_apis": ("health",)}, "health cannot be closed"),
        ({"closed_apis": ("metadata",)}, "metadata cannot be closed"),
        (
            {
                "closed_apis": ("statistics",),
                "extra_arguments": ("--http-restricted-api=statistics:key=value",),
            },
            "both --close and a rule of its own",
        ),
        (
            {"extra_arguments": ("--grpc-restricted-protocol", "trace,health:key=value")},
            "health cannot be closed",
        ),
        (
            {"extra_arguments": ("--http-rest=metadata:key=value",)},
            "metadata cannot be closed",
        ),
    ],
)
def test_access_that_cannot_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ServerStartError, match=message):
        ServerConfig(repositories=(Path("/models"),), **values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--allow", "trace,nothing"], "no API 'nothing'"),
        (["--close", "nothing"], "no API 'nothing'"),
        (["--allow", "logging,trace", "--close", "trace"], "--allow trace and --close trace"),
    ],
)
def test_access_that_cannot_be_is_wrong_usage(arguments: list[str], message: str) -> None:
    outcome = CliRunner().invoke(cli, ["serve", *arguments])
    assert outcome.exit_code == 2
    assert message in outcome.output
    if "nothing" in message:
        assert all(api in outcome.output for api in APIS)
