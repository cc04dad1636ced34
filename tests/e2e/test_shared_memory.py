"""Pictures that a real Triton reads from its client's memory: the same masks, and nothing stays."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from blocking_client import BlockingClient, LoopThread
from tritonseg import ClientClosedError, DeadlineExceededError, SegmentationClient
from tritonseg_engines.serving import ServerConfig, TritonServer

SMALL = np.random.default_rng(1).integers(0, 256, (64, 128, 3), np.uint8)
LARGE = np.random.default_rng(2).integers(0, 256, (1024, 2048, 3), np.uint8)
HUGE = np.random.default_rng(3).integers(0, 256, (3000, 4000, 3), np.uint8)

Connect = Callable[[TritonServer], Any]


@pytest.fixture(scope="module")
def server(demo_repository: Path) -> Iterator[TritonServer]:
    config = ServerConfig(repositories=(demo_repository,), allowed_apis=("shared-memory",))
    with TritonServer(config) as server:
        yield server


@pytest.fixture(params=["threads", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    make: Callable[..., Any] = SegmentationClient
    if request.param == "asyncio":
        make = partial(BlockingClient, thread=LoopThread())
    clients = []

    def connect(server: TritonServer) -> Any:
        client = make(
            server.grpc_url,
            model="street-demo",
            transport="shared_memory",
            timeout_s=180.0,  # twelve megapixels, beside other tests
        )
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.close()


def regions(server: TritonServer, pid: int | None = None) -> list[str]:
    """What the server maps of a process's memory; of this one's for None."""
    with InferenceServerClient(server.grpc_url) as asker:
        status = asker.get_system_shared_memory_status(as_json=True)
    own = f"tritonseg-{pid or os.getpid()}-"
    return [name for name in status.get("regions", {}) if name.startswith(own)]


@pytest.fixture(autouse=True)
def forgotten(server: TritonServer) -> Iterator[None]:
    """What the server still read when a client was closed is no concern of the next test."""
    yield
    deadline_s = time.monotonic() + 60
    with InferenceServerClient(server.grpc_url) as asker:
        while regions(server):
            assert time.monotonic() < deadline_s
            with suppress(InferenceServerException):  # it reads one of them
                asker.unregister_system_shared_memory()
            time.sleep(0.05)


def left_behind(pid: int) -> list[Path]:
    return list(Path("/dev/shm").glob(f"tritonseg-{pid}-*"))


def test_masks_are_those_of_sent_pixels(connect: Connect, server: TritonServer) -> None:
    client = connect(server)
    for image in (SMALL, LARGE, SMALL[:1, :1], LARGE[:777]):
        shared = client.segment(image, confidence=True)
        sent = client.segment(image, transport="raw", confidence=True)
        assert np.array_equal(shared.class_map, sent.class_map)
        assert np.array_equal(shared.confidence, sent.confidence)
        assert len(regions(server)) == 1  # the larger one in the place of the smaller
        assert not left_behind(os.getpid())
    client.close()
    assert not regions(server)


def test_as_many_as_are_in_flight_each_with_its_own_mask(
    connect: Connect, server: TritonServer
) -> None:
    client = connect(server)
    images = [np.full((96, 160, 3), value, np.uint8) for value in range(0, 250, 20)]
    for position, image in enumerate(images):
        image[: position + 1] = 255 - image[: position + 1]
    expected = [client.segment(image, transport="raw").class_map for image in images]
    for _ in range(2):
        for wanted, (_, result) in zip(
            expected, client.segment_many(images, max_in_flight=6), strict=True
        ):
            assert np.array_equal(result.class_map, wanted)
    assert 1 <= len(regions(server)) <= 6
    client.close()
    assert not regions(server)


def test_what_a_call_out_of_time_leaves_is_read_by_nobody_else(
    connect: Connect, server: TritonServer
) -> None:
    client = connect(server)
    client.segment(HUGE)
    (reused,) = regions(server)
    started_s = time.perf_counter()
    client.segment(HUGE)
    answered_s = time.perf_counter() - started_s
    with pytest.raises(DeadlineExceededError):
        client.segment(HUGE, timeout_s=answered_s / 3)
    result = client.segment(LARGE)
    assert np.array_equal(result.class_map, client.segment(LARGE, transport="raw").class_map)
    client.segment(SMALL)
    client.close()
    assert not regions(server)
    assert not left_behind(os.getpid())
    assert reused


@pytest.mark.parametrize(
    ("ending", "stays"),
    [
        ("", 0),
        ("sys.exit(3)", 0),
        ("raise RuntimeError", 0),
        ("del client; gc.collect(); time.sleep(0.5); os._exit(0)", 0),
        ("os._exit(0)", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", 1),
    ],
)
def test_every_way_to_end_leaves_dev_shm_empty(
    server: TritonServer, ending: str, stays: int
) -> None:
    code = (
        "import gc, os, signal, sys, time\n"
        "import numpy as np\n"
        "from tritonseg import SegmentationClient\n"
        f"client = SegmentationClient('{server.grpc_url}', model='street-demo',\n"
        "                            transport='shared_memory')\n"
        "print(client.segment(np.zeros((64, 64, 3), np.uint8)))\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code + ending],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    printed, complaints = running.communicate(timeout=60)
    assert printed.startswith("<Segmentation"), complaints
    assert not left_behind(running.pid)
    # Who is killed cannot tell the server, which then maps memory that nobody else has.
    assert len(regions(server, running.pid)) == stays


def test_killed_while_the_server_maps(server: TritonServer) -> None:
    code = (
        "import sys, time\n"
        "import numpy as np\n"
        "from tritonseg import SegmentationClient\n"
        f"client = SegmentationClient('{server.grpc_url}', model='street-demo',\n"
        "                            transport='shared_memory')\n"
        "print(client.describe().name, flush=True)\n"
        "for side in range(100, 4000):\n"
        "    client.segment(np.zeros((side, side, 3), np.uint8))\n"
    )
    for after_s in (0.05, 0.2, 0.6):
        running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert running.stdout is not None
        assert running.stdout.readline() == "street-demo\n"
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(after_s)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
        assert not left_behind(running.pid)


def call_on(client: Any, ends: list[object]) -> None:
    """Call until that fails, and note with what."""
    try:
        while True:
            client.segment(LARGE)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
        ends.append(error)


def test_calls_under_way_end_when_the_client_closes(connect: Connect, server: TritonServer) -> None:
    for delay_s in (0.0, 0.01, 0.05, 0.2):
        client = connect(server)
        client.segment(SMALL)
        ends: list[object] = []

        callers = [threading.Thread(target=call_on, args=(client, ends)) for _ in range(4)]
        for caller in callers:
            caller.start()
        time.sleep(delay_s)
        client.close()
        for caller in callers:
            caller.join(20)
        assert [type(error) for error in ends] == [ClientClosedError] * 4
    assert not left_behind(os.getpid())
    assert len(regions(server)) <= 16  # what was under way; usually none


def test_no_region_is_lost_where_calls_run_out_of_time(
    connect: Connect, server: TritonServer
) -> None:
    client = connect(server)
    for timeout_s in (0.05, 0.1, 0.15, 0.2, 0.3) * 3:
        with suppress(DeadlineExceededError):
            client.segment(LARGE, timeout_s=timeout_s)
    for _ in range(40):
        client.segment(SMALL)
    assert len(regions(server)) == 1
    client.close()
    assert not regions(server)


def test_server_that_comes_back(connect: Connect, demo_repository: Path) -> None:
    def started(port: int, allowed: tuple[str, ...]) -> TritonServer:
        return TritonServer(
            ServerConfig(repositories=(demo_repository,), grpc_port=port, allowed_apis=allowed)
        )

    with started(0, ("shared-memory",)) as server:
        client = connect(server)
        expected = client.segment(SMALL).class_map
        port = int(server.grpc_url.rpartition(":")[2])
    with started(port, ("shared-memory",)) as server:
        assert np.array_equal(client.segment(SMALL).class_map, expected)  # its region is gone
        assert np.array_equal(client.segment(SMALL).class_map, expected)
        assert len(regions(server)) == 1
        client.close()
        assert not regions(server)


def test_server_that_refuses_gets_the_pixels(
    connect: Connect, demo_server: TritonServer, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(demo_server)
    with caplog.at_level(logging.WARNING, "tritonseg"):
        masks = [client.segment(SMALL).class_map for _ in range(3)]
    sent = client.segment(SMALL, transport="raw").class_map
    assert all(np.array_equal(mask, sent) for mask in masks)
    (warning,) = caplog.messages
    assert "does not allow shared memory" in warning
    assert "the pixels are sent instead" in warning
    assert not left_behind(os.getpid())
