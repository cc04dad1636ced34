"""Every public method of both clients at a real Triton that freezes, dies or is cut off."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import tritonseg
from blocking_client import BlockingClient, LoopThread
from every_method import METHODS, TIMEOUT_S, failure_of
from red_model import RED_MODEL, red_picture, red_server
from tritonseg_engines.serving import TritonServer
from wire import Wire

Connect = Callable[[str], Any]
CLIENTS = {
    "threads": tritonseg.SegmentationClient,
    "asyncio": partial(BlockingClient, thread=LoopThread()),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    with red_server(tmp_path_factory.mktemp("red")) as server:
        yield server


@contextmanager
def stopped(server: TritonServer) -> Iterator[None]:
    """Nothing of the server runs; a signal takes its time to each thread."""
    process = psutil.Process(server.pid)
    process.suspend()
    try:
        tasks = Path("/proc", str(server.pid), "task")
        while any("\nState:\tT" not in file.read_text() for file in tasks.glob("*/status")):
            time.sleep(0.001)
        yield
    finally:
        process.resume()


@pytest.fixture(params=CLIENTS)
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    clients = []

    def connect(address: str) -> Any:
        retry = tritonseg.RetryPolicy(initial_delay_s=0.01, max_delay_s=0.02)
        client = CLIENTS[request.param](address, model=RED_MODEL, timeout_s=TIMEOUT_S, retry=retry)
        clients.append(client)
        assert client.is_ready(timeout_s=5)
        return client

    yield connect
    for client in clients:
        client.close()


def test_it_goes_on_after_all_of_this(connect: Connect, server: TritonServer) -> None:
    picture = red_picture(1)
    client = connect(server.grpc_url)
    with stopped(server):
        assert not client.is_ready(timeout_s=TIMEOUT_S)
    client.wait_ready(timeout_s=5)
    assert np.array_equal(client.segment(picture, timeout_s=5).class_map, picture[..., 0])


@pytest.mark.parametrize("method", METHODS)
def test_stopped(connect: Connect, server: TritonServer, method: str) -> None:
    client = connect(server.grpc_url)
    with stopped(server):
        failure = failure_of(client, method)
    assert failure is (None if method == "is_ready" else tritonseg.DeadlineExceededError)


@pytest.mark.parametrize("method", METHODS)
def test_stopped_and_cut_off(connect: Connect, server: TritonServer, method: str) -> None:
    """Stopped, so that the call is under way when its connection is cut."""
    wire = Wire(int(server.grpc_url.rpartition(":")[2]))
    client = connect(wire.address)
    ended = threading.Event()

    def cut_until_ended() -> None:
        while not ended.wait(0.1):
            wire.cut()

    with stopped(server), ThreadPoolExecutor(1) as pool:
        pool.submit(cut_until_ended)
        try:
            failure = failure_of(client, method)
        finally:
            ended.set()
    wire.close()
    assert failure is None or issubclass(failure, tritonseg.TransportError), failure


def test_killed(connect: Connect, tmp_path: Path) -> None:
    with red_server(tmp_path) as server:
        client = connect(server.grpc_url)
        psutil.Process(server.pid).kill()
        server.wait(5)
        failures = {method: failure_of(client, method) for method in METHODS}
    for method, failure in failures.items():
        assert failure is None or issubclass(failure, tritonseg.TransportError), (method, failure)
