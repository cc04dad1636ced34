"""A real Triton: it starts, answers, keeps to itself, and leaves nothing behind."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.serving import ServerConfig, TritonInstallation, TritonServer
from tritonseg_engines.serving.config import Ports
from tritonseg_engines.serving.readiness import is_ready

pytestmark = pytest.mark.e2e

TELL_ENVIRONMENT = (
    "import json, sys, os, numpy as np, tritonseg_steps.contract as contract, only_on_our_path; "
    "told = json.dumps([sys.prefix, contract.__file__, os.getcwd()]); "
    "array = np.frombuffer(told.encode(), np.uint8)"
)


@pytest.fixture(scope="module")
def server(
    installation: TritonInstallation,
    tmp_path_factory: pytest.TempPathFactory,
    write_model: Callable[..., Path],
) -> Iterator[TritonServer]:
    # The space is deliberate: Triton's Python backend on its own hangs on such a path.
    repository = tmp_path_factory.mktemp("with space") / "my models"
    write_model(repository, "echo")
    write_model(repository, "environment", execute=TELL_ENVIRONMENT)
    outside = tmp_path_factory.mktemp("outside")
    (outside / "only_on_our_path.py").touch()
    config = ServerConfig(repositories=(repository,), http_port=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(outside)
        running = TritonServer(config, installation=installation)
        running.start()
    yield running
    running.stop()


def listening_addresses(pid: int) -> set[tuple[str, int]]:
    return {
        (address.ip.removeprefix("::ffff:"), address.port)
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and (address := connection.laddr)
    }


def test_answers_with_the_bytes_it_was_sent(
    server: TritonServer, infer: Callable[..., Any]
) -> None:
    content = np.random.default_rng(0).bytes(100_000)
    assert infer(server.grpc_url, "echo", content).tobytes() == content


def test_models_can_import_what_this_python_can(
    server: TritonServer, installation: TritonInstallation, infer: Callable[..., Any]
) -> None:
    if installation.wheel is None:
        pytest.skip("a tritonserver on the PATH has a Python of its own")
    told = infer(server.grpc_url, "environment").tobytes()
    prefix, contract_file, directory = json.loads(told)
    spec = importlib.util.find_spec("tritonseg_steps.contract")
    assert spec is not None
    assert prefix == sys.prefix
    assert contract_file == spec.origin
    # The current directory is where a model's imports are looked up first.
    assert directory == str(server.log_path.parent)


def test_listens_on_its_three_ports_and_nowhere_else(server: TritonServer) -> None:
    assert server.http_url is not None
    assert server.metrics_url is not None
    urls = [server.grpc_url, server.http_url, server.metrics_url.split("/")[2]]
    expected = {(url.split(":")[0], int(url.split(":")[1])) for url in urls}
    assert listening_addresses(server.pid) == expected


def test_serves_http_and_metrics_where_asked(server: TritonServer) -> None:
    with urllib.request.urlopen(f"http://{server.http_url}/v2/health/ready") as response:
        assert response.status == 200
    assert server.metrics_url is not None
    with urllib.request.urlopen(server.metrics_url) as response:
        assert b"nv_inference_request_success" in response.read()


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.register_system_shared_memory("region", "/region", 1),
        lambda client: client.get_trace_settings(),
        lambda client: client.update_log_settings({"log_file": "anywhere"}),
        lambda client: client.load_model("echo"),
    ],
    ids=["shared memory", "trace", "logging", "model control"],
)
def test_apis_that_reach_beyond_inference_are_closed(
    server: TritonServer, call: Callable[[Any], object]
) -> None:
    with (
        triton_grpc.InferenceServerClient(server.grpc_url) as client,
        pytest.raises(InferenceServerException),
    ):
        call(client)


def test_only_the_server_that_is_meant_counts_as_ready(server: TritonServer) -> None:
    with triton_grpc.InferenceServerClient(server.grpc_url) as client:
        server_id = client.get_server_metadata().name
    grpc = int(server.grpc_url.split(":")[1])
    ports = Ports(grpc=grpc, http=None, metrics=None)
    assert is_ready(server.config, ports, server_id=server_id)
    assert not is_ready(server.config, ports, server_id="another")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    half_open = Ports(grpc=grpc, http=None, metrics=closed)
    assert not is_ready(server.config, half_open, server_id=server_id)


def test_refuses_to_start_twice(server: TritonServer) -> None:
    with pytest.raises(ServerStartError, match=f"process {server.pid}"):
        server.start()


def test_two_servers_started_at_once_by_threads_that_end(
    installation: TritonInstallation, repository: Path, infer: Callable[..., Any]
) -> None:
    config = ServerConfig(repositories=(repository,))
    servers = [TritonServer(config, installation=installation) for _ in range(2)]

    def each(action: Callable[[TritonServer], object]) -> None:
        threads = [threading.Thread(target=action, args=[server]) for server in servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    try:
        each(TritonServer.start)
        for server in servers:
            assert infer(server.grpc_url, "echo", b"abc").tobytes() == b"abc"
            assert server.http_url is None
        addresses = [listening_addresses(server.pid) for server in servers]
        assert [len(some) for some in addresses] == [2, 2]
        assert addresses[0].isdisjoint(addresses[1])
    finally:
        each(TritonServer.stop)


def test_stop_leaves_nothing_and_the_port_can_be_used_again(
    installation: TritonInstallation,
    repository: Path,
    infer: Callable[..., Any],
    is_gone: Callable[..., bool],
    shm_regions: Callable[[int], list[str]],
) -> None:
    regions_before = set(shm_regions(os.getpid()))
    first = TritonServer(ServerConfig(repositories=(repository,)), installation=installation)
    first.start()
    processes = [psutil.Process(first.pid), *psutil.Process(first.pid).children(recursive=True)]
    assert len(processes) == 2, "tritonserver and the stub of one model"
    assert set(shm_regions(os.getpid())) > regions_before
    # Leaves a connection in TIME_WAIT on the port, and makes Triton's own end last 10 s and more.
    infer(first.grpc_url, "echo", bytes(20_000_000))

    stopped = time.monotonic()
    assert [first.stop(), first.stop(), first.poll()] == [0, 0, 0]
    assert time.monotonic() - stopped < 8
    assert is_gone(processes)
    assert set(shm_regions(os.getpid())) == regions_before
    assert not first.log_path.parent.exists()
    assert first.log_tail() == ""

    port = int(first.grpc_url.split(":")[1])
    again = ServerConfig(repositories=(repository,), grpc_port=port, metrics_port=None)
    with TritonServer(again, installation=installation) as second:
        assert second.grpc_url == first.grpc_url
        assert second.metrics_url is None
        assert listening_addresses(second.pid) == {("127.0.0.1", port)}
        assert infer(second.grpc_url, "echo", b"abc").tobytes() == b"abc"


def test_stop_lets_a_request_in_flight_finish(
    installation: TritonInstallation,
    tmp_path: Path,
    write_model: Callable[..., Path],
    infer: Callable[..., Any],
) -> None:
    repository = write_model(tmp_path, "slow", execute="import time; time.sleep(1.5)")
    answers: list[bytes] = []
    with TritonServer(
        ServerConfig(repositories=(repository,)), installation=installation
    ) as server:
        url = server.grpc_url
        request = threading.Thread(
            target=lambda: answers.append(infer(url, "slow", b"abc").tobytes())
        )
        request.start()
        time.sleep(0.5)
        assert not answers
    request.join()
    assert answers == [b"abc"]


def test_loads_only_the_models_asked_for_and_echoes_its_log(
    installation: TritonInstallation,
    repository: Path,
    write_model: Callable[..., Path],
    infer: Callable[..., Any],
) -> None:
    write_model(repository, "unbuilt", initialize="raise RuntimeError('no engine')")
    echoed = io.StringIO()
    config = ServerConfig(repositories=(repository,), models=("echo",))
    with TritonServer(config, installation=installation, echo_to=echoed) as server:
        assert infer(server.grpc_url, "echo", b"abc").tobytes() == b"abc"
        with (
            triton_grpc.InferenceServerClient(server.grpc_url) as client,
            pytest.raises(InferenceServerException),
        ):
            client.load_model("unbuilt")
        assert "Started GRPCInferenceService" in server.log_tail(lines=5)
        whole_log = server.log_path.read_text()
    assert echoed.getvalue().startswith(whole_log)
    assert "Signal (15) received" in echoed.getvalue()
