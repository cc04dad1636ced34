"""Several servers behind one client: in turns, without those that are gone, and again when back."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import grpc
import numpy as np
import pytest

import tritonseg
from tritonseg.testing import FakeTriton

IMAGE = np.zeros((2, 3, 3), np.uint8)


@pytest.fixture
def servers():
    with ExitStack() as stack:
        yield [stack.enter_context(FakeTriton()) for _ in range(3)]


@pytest.fixture
def client(servers, connect):
    client = connect("ipv4:" + ",".join(server.url for server in servers))
    until_all_are_asked(client, servers)
    return client


def until_all_are_asked(client, servers, within_s=10.0):
    """Connections come up one after the other."""
    end_s = time.monotonic() + within_s
    before = [server.calls["ModelInfer"] for server in servers]
    while any(
        server.calls["ModelInfer"] == count for server, count in zip(servers, before, strict=True)
    ):
        client.segment(IMAGE)
        assert time.monotonic() < end_s


def counted(client, servers, calls, *, may_fail=False):
    before = [server.calls["ModelInfer"] for server in servers]
    expected = tritonseg.OverloadedError if may_fail else ()
    for _ in range(calls):
        with suppress(expected):
            client.segment(IMAGE)
    return [
        server.calls["ModelInfer"] - count for server, count in zip(servers, before, strict=True)
    ]


def test_they_take_turns(client, servers):
    assert counted(client, servers, 30) == [10, 10, 10]


def test_one_that_is_gone_costs_no_picture_and_comes_back(client, servers):
    servers[1].stop()
    counts = counted(client, servers, 40)
    assert counts[1] == 0
    assert min(counts[0], counts[2]) >= 15
    servers[1].start()
    until_all_are_asked(client, servers)


def test_one_that_only_fails_is_left_out_and_comes_back(client, servers):
    servers[1].fail(grpc.StatusCode.UNAVAILABLE, "sick")
    end_s = time.monotonic() + 10
    while time.monotonic() < end_s and counted(client, servers, 30, may_fail=True)[1]:
        pass  # a third fails, more than the retries are for
    assert counted(client, servers, 30)[1] == 0
    servers[1].fail(grpc.StatusCode.UNAVAILABLE, times=0)
    until_all_are_asked(client, servers, within_s=20)


def test_none_is_left_out_where_all_are_as_bad(client, servers):
    for server in servers:
        server.fail(grpc.StatusCode.INVALID_ARGUMENT, "no")
    end_s = time.monotonic() + 5
    failed = 0
    while time.monotonic() < end_s:
        with pytest.raises(tritonseg.RequestRejectedError):
            client.segment(IMAGE)
        failed += 1
    for server in servers:
        server.fail(grpc.StatusCode.INVALID_ARGUMENT, times=0)
    assert sum(counted(client, servers, 30)) == 30
    assert failed > 30


def test_one_that_is_frozen_costs_time_and_no_picture(triton, wire, connect):
    address = f"ipv4:{triton.url},{wire.address}"
    with FakeTriton() as other:
        other.parameters = triton.parameters
        client = connect(f"{address},{other.url}", timeout_s=12.0)
        until_all_are_asked(client, [triton, other])
        while not wire.connections:
            client.segment(IMAGE)
        wire.freeze()
        began_s = time.monotonic()
        for _ in range(12):
            client.segment(IMAGE)
        assert time.monotonic() - began_s < 24  # one was on its way to it, for half its time-out


def test_all_gone_is_said(client, servers):
    for server in servers:
        server.stop()
    with pytest.raises(tritonseg.TransportError):
        client.segment(IMAGE)


@pytest.mark.parametrize("url", ["ipv4:", "ipv4:1.2.3.4", "ipv4:1.2.3.4:1,", "ipv4:host:1"])
def test_lists_that_are_none(connect, url):
    with pytest.raises(tritonseg.ConfigurationError, match="ipv4:address:port"):
        connect(url)


@pytest.fixture
def engines(servers):
    """Servers that have another engine each, as builds for the GPU of each are."""
    for number, server in enumerate(servers, start=1):
        provenance = json.loads(server.parameters["tritonseg_provenance"])
        provenance["engine_sha256"] = str(number) * 64
        server.parameters["tritonseg_provenance"] = json.dumps(provenance)
        server.parameters["tritonseg_digest"] = json.dumps(str(number) * 64)
    return [str(number) * 64 for number in range(1, len(servers) + 1)]


def test_every_answer_says_which_engine_gave_it(engines, client, servers):
    asked = [server.calls["ModelConfig"] for server in servers]
    results = [client.segment(IMAGE).model for _ in range(30)]
    assert sorted(model.engine_sha256 for model in results) == sorted(engines * 10)
    assert all(model.digest == model.engine_sha256 for model in results)
    assert [server.calls["ModelConfig"] for server in servers] == asked  # all are known by now
    assert asked == pytest.approx([1, 1, 1], abs=8)


def test_engines_cost_no_picture_however_many_are_sent_at_once(engines, connect, servers):
    client = connect("ipv4:" + ",".join(server.url for server in servers))
    with ThreadPoolExecutor(8) as pool:
        found = {model.engine_sha256 for model in pool.map(lambda _: answered(client), range(90))}
    assert found == set(engines)
    assert sum(server.calls["ModelInfer"] for server in servers) == 90


def answered(client):
    return client.segment(IMAGE).model


def test_a_refusal_is_one_whichever_server_is_asked_next(engines, client, servers):
    for server in servers:
        server.fail(grpc.StatusCode.INVALID_ARGUMENT, "no such picture")
    for _ in range(4):
        with pytest.raises(tritonseg.RequestRejectedError, match="no such picture"):
            client.segment(IMAGE)


def test_tiles_of_one_picture_are_of_one_engine(engines, client):
    image = np.zeros((64, 64, 3), np.uint8)
    tiles = tritonseg.Tiling(size=32, overlap=0)
    with pytest.raises(tritonseg.ModelNotReadyError, match="builds of their own; segment"):
        client.segment(image, tiling=tiles)
