"""Servers that are slow, gone, overloaded or wrong: typed errors, in time, and recovery."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc
import numpy as np
import pytest

import tritonseg
from tritonseg._channels import channel as _channel

GRACE_S = 0.25
IMAGE = np.zeros((2, 3, 3), np.uint8)

METHODS = {
    "segment": lambda client: client.segment(IMAGE),
    "segment with its own timeout": lambda client: client.segment(IMAGE, timeout_s=0.5),
    "model": lambda client: client.model,
    "wait_ready": lambda client: client.wait_ready(timeout_s=0.5),
}


class TestDeadlines:
    def test_slow_inference(self, connect, triton):
        client = connect(triton.url)
        triton.delay(5.0)
        begin_s = time.monotonic()
        with pytest.raises(tritonseg.DeadlineExceededError) as caught:
            client.segment(IMAGE, timeout_s=0.5)
        assert 0.45 < time.monotonic() - begin_s < 0.5 + GRACE_S
        assert isinstance(caught.value, TimeoutError)
        assert (caught.value.attempts, caught.value.retryable) == (1, False)
        assert triton.calls["ModelInfer"] == 1

    def test_retries_share_the_deadline(self, connect, triton):
        client = connect(
            triton.url, retry=tritonseg.RetryPolicy(initial_delay_s=0.3, max_retries=9)
        )
        triton.fail(grpc.StatusCode.UNAVAILABLE, "queue full")
        begin_s = time.monotonic()
        with pytest.raises(tritonseg.OverloadedError):
            client.segment(IMAGE, timeout_s=0.5)
        assert time.monotonic() - begin_s < 0.5 + GRACE_S
        assert triton.calls["ModelInfer"] == 2

    def test_frozen_wire(self, connect, triton, wire):
        client = connect(wire.address)
        client.segment(IMAGE)
        wire.freeze()
        begin_s = time.monotonic()
        with pytest.raises(tritonseg.DeadlineExceededError):
            client.segment(IMAGE, timeout_s=0.5)
        assert time.monotonic() - begin_s < 0.5 + GRACE_S
        wire.thaw()
        assert client.segment(IMAGE, timeout_s=5.0).class_map.shape == (2, 3)

    def test_frozen_wire_is_noticed_before_the_deadline(self, connect, wire):
        client = connect(wire.address, timeout_s=12.0, retry=tritonseg.RetryPolicy(max_retries=0))
        client.segment(IMAGE)
        wire.freeze()
        begin_s = time.monotonic()
        with pytest.raises(tritonseg.ConnectionLostError, match="ping timeout"):
            client.segment(IMAGE)
        assert 5.0 < time.monotonic() - begin_s < 11.5

    def test_slow_answer_is_not_taken_for_a_frozen_server(self, connect, triton):
        client = connect(triton.url, timeout_s=10.0)
        triton.delay(8.0)
        assert client.segment(IMAGE).timings.attempts == 1


class TestRetries:
    def test_two_failures_then_success(self, client, triton):
        triton.fail(grpc.StatusCode.UNAVAILABLE, "queue full", times=2)
        assert client.segment(IMAGE).class_map.shape == (2, 3)
        assert triton.calls["ModelInfer"] == 3

    def test_one_failing_call_is_three_attempts(self, client, triton):
        triton.fail(grpc.StatusCode.UNAVAILABLE, "queue full")
        with pytest.raises(tritonseg.OverloadedError, match=r"queue full.*after 3 attempts") as e:
            client.segment(IMAGE, request_id="frame-17")
        assert triton.calls["ModelInfer"] == 3
        assert (e.value.attempts, e.value.retryable) == (3, True)
        assert (e.value.request_id, e.value.model_name) == ("frame-17", "street-demo")
        assert [request.id for request in triton.raw_requests] == ["frame-17"] * 3

    def test_pictures_beyond_grpcs_retry_buffer_are_retried_too(self, client, triton):
        triton.fail(grpc.StatusCode.UNAVAILABLE, "queue full", times=2)
        client.segment(np.zeros((1024, 1024, 3), np.uint8))
        assert triton.calls["ModelInfer"] == 3

    @pytest.mark.parametrize(
        "status",
        [status.name for status in grpc.StatusCode if status.name not in ("OK", "UNAVAILABLE")],
    )
    def test_no_other_status_is_retried(self, client, triton, status):
        triton.fail(grpc.StatusCode[status], "")
        with pytest.raises(tritonseg.SegmentationError) as caught:
            client.segment(IMAGE)
        assert triton.calls["ModelInfer"] == 1
        assert (caught.value.attempts, caught.value.retryable) == (1, False)

    def test_switched_off(self, connect, triton):
        client = connect(triton.url, retry=tritonseg.RetryPolicy(max_retries=0))
        triton.fail(grpc.StatusCode.UNAVAILABLE, "")
        with pytest.raises(tritonseg.OverloadedError):
            client.segment(IMAGE)
        assert triton.calls["ModelInfer"] == 1

    def test_outage_costs_the_server_at_most_a_quarter_more(self, connect, triton):
        policy = tritonseg.RetryPolicy(initial_delay_s=0.001, max_delay_s=0.002)
        client = connect(triton.url, retry=policy)
        _ = client.model
        triton.fail(grpc.StatusCode.UNAVAILABLE, "")

        def segment(_):
            with pytest.raises(tritonseg.OverloadedError):
                client.segment(IMAGE)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(segment, range(1000)))
        assert 1000 < triton.calls["ModelInfer"] <= 1250

    def test_metadata_of_a_model_that_is_loading_is_asked_for_again(self, client, triton):
        triton.fail(grpc.StatusCode.UNAVAILABLE, "still loading", method="ModelConfig")
        with pytest.raises(tritonseg.ModelNotReadyError, match="loading"):
            _ = client.model
        assert triton.calls["ModelConfig"] == 3


class TestConnection:
    def test_recovers_when_the_server_is_back(self, client, triton):
        client.segment(IMAGE)
        for _ in range(2):
            triton.stop()
            with pytest.raises(tritonseg.TransportError):
                client.segment(IMAGE)
            triton.start()
            begin_s = time.monotonic()
            while time.monotonic() - begin_s < 2.0:
                try:
                    client.segment(IMAGE)
                    break
                except tritonseg.ConnectError:
                    time.sleep(0.02)
            else:
                pytest.fail("no success within 2 s of the server being back")

    def test_request_in_flight_survives_a_broken_connection(self, connect, triton, wire):
        client = connect(wire.address)
        _ = client.model
        triton.delay(0.5)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(client.segment, IMAGE)
            while triton.calls["ModelInfer"] == 0:
                time.sleep(0.01)
            wire.cut()
            assert answer.result().class_map.shape == (2, 3)
        assert triton.calls["ModelInfer"] == 2

    def test_broken_connection_without_retries(self, connect, triton, wire):
        client = connect(wire.address, retry=tritonseg.RetryPolicy(max_retries=0))
        _ = client.model
        triton.delay(5.0)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(client.segment, IMAGE)
            while triton.calls["ModelInfer"] == 0:
                time.sleep(0.01)
            wire.cut()
            with pytest.raises(tritonseg.ConnectionLostError) as caught:
                answer.result()
        assert caught.value.retryable

    def test_refused(self, connect, refused_address):
        with pytest.raises(tritonseg.ConnectError, match=r"gRPC port.*refused") as caught:
            connect(refused_address).segment(IMAGE)
        assert (caught.value.attempts, caught.value.retryable) == (3, True)
        assert isinstance(caught.value.__cause__, grpc.RpcError)

    def test_attempt_to_connect_has_a_limit_of_its_own(self, connect, monkeypatch, silent_address):
        monkeypatch.setattr(_channel, "CONNECT_TIMEOUT_S", 0.3)
        client = connect(silent_address, retry=tritonseg.RetryPolicy(max_retries=0))
        begin_s = time.monotonic()
        with pytest.raises(tritonseg.ConnectError):
            client.segment(IMAGE)
        assert 0.25 < time.monotonic() - begin_s < 1.0

    # In 1.5 s: 15 attempts at 0.1 s from each to the next, 5 or 6 if that grows by 1.6 a time.
    @pytest.mark.parametrize(("max_delay_s", "least_attempts"), [(0.1, 10), (1.0, 4)])
    def test_pause_between_attempts_to_connect(
        self, connect, monkeypatch, max_delay_s, least_attempts
    ):
        monkeypatch.setattr(_channel, "MAX_RECONNECT_DELAY_S", max_delay_s)
        attempts = 0
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0.01)
            client = connect(f"127.0.0.1:{listener.getsockname()[1]}")
            end_s = time.monotonic() + 1.5
            with ThreadPoolExecutor(1) as pool:
                while time.monotonic() < end_s:
                    probe = pool.submit(client.is_ready, timeout_s=0.05)
                    with contextlib.suppress(TimeoutError):
                        listener.accept()[0].close()
                        attempts += 1
                    assert not probe.result()
        assert attempts >= least_attempts

    def test_each_client_has_its_own_connection(self, connect, wire):
        assert connect(wire.address).is_ready()
        assert connect(wire.address).is_ready()
        assert wire.connections == 2

    def test_unknown_host(self, connect):
        with pytest.raises(tritonseg.ConnectError):
            connect("no-such-host.invalid:8001").segment(IMAGE)

    def test_http_server(self, connect):
        class Quiet(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

        with HTTPServer(("127.0.0.1", 0), Quiet) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            client = connect(f"127.0.0.1:{server.server_port}", timeout_s=2.0)
            with pytest.raises(tritonseg.TransportError):
                client.segment(IMAGE)
            server.shutdown()

    def test_class_map_beyond_grpcs_own_limit(self, client):
        image = np.full((2100, 2100, 3), 3, np.uint8)  # 4 MiB and more, in answer as in request
        assert (client.segment(image).class_map == 3).all()

    def test_answer_over_the_limit(self, connect, triton):
        client = connect(triton.url, limits=tritonseg.ImageLimits(max_pixels=6))
        _ = client.model

        def edit(response):
            response.raw_output_contents[0] = bytes(17 * 2**20)

        triton.edit_answer = edit
        with pytest.raises(tritonseg.MessageTooLargeError) as caught:
            client.segment(IMAGE)
        assert (caught.value.attempts, caught.value.retryable) == (1, False)

    def test_request_over_a_proxys_limit(self, client, triton):
        details = "SERVER: Received message larger than max (6291512 vs. 4194304)"
        triton.fail(grpc.StatusCode.RESOURCE_EXHAUSTED, details)
        with pytest.raises(tritonseg.MessageTooLargeError, match="6291512"):
            client.segment(IMAGE)


class TestClosing:
    def test_every_method_of_a_closed_client(self, client):
        with client:
            client.segment(IMAGE)
        for call in (*METHODS.values(), lambda client: client.is_ready()):
            with pytest.raises(tritonseg.ClientClosedError, match="closed"):
                call(client)
        client.close()

    @pytest.mark.parametrize("stage", ["in flight", "between attempts"])
    def test_close_ends_calls_under_way(self, connect, triton, stage):
        client = connect(triton.url, retry=tritonseg.RetryPolicy(initial_delay_s=5.0))
        if stage == "in flight":
            triton.delay(5.0)
        else:
            triton.fail(grpc.StatusCode.UNAVAILABLE, "")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(client.segment, IMAGE)
            while triton.calls["ModelInfer"] == 0:
                time.sleep(0.01)
            time.sleep(0.1)
            begin_s = time.monotonic()
            client.close()
            with pytest.raises(tritonseg.ClientClosedError):
                answer.result()
            assert time.monotonic() - begin_s < GRACE_S

    def test_close_ends_is_ready(self, client, triton):
        triton.delay(5.0, method="ModelReady")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(client.is_ready)
            while triton.calls["ModelReady"] == 0:
                time.sleep(0.01)
            client.close()
            with pytest.raises(tritonseg.ClientClosedError):
                answer.result()

    def test_racing_calls_end_in_success_or_client_closed(self, connect, triton):
        outcomes = set()

        def segment_until_closed(client):
            while True:
                try:
                    assert client.segment(IMAGE).class_map.shape == (2, 3)
                    outcomes.add("success")
                except tritonseg.ClientClosedError:
                    outcomes.add("closed")
                    return

        for _ in range(20):
            client = connect(triton.url)
            with ThreadPoolExecutor(4) as pool:
                calls = [pool.submit(segment_until_closed, client) for _ in range(4)]
                time.sleep(0.03)
                client.close()
                for call in calls:
                    call.result()
        assert outcomes == {"success", "closed"}

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
    def test_forked_child_is_told_to_make_its_own(self, triton):
        # In a process of its own: from Python 3.12 on, forking one with threads is a warning.
        script = f"""
import os, sys, numpy as np, tritonseg
client = tritonseg.SegmentationClient("{triton.url}", model="street-demo", timeout_s=5.0)
image = np.zeros((2, 3, 3), np.uint8)
client.segment(image)
child = os.fork()
if child == 0:
    try:
        client.segment(image)
    except tritonseg.ClientClosedError as error:
        client.close()
        os._exit(0 if "forked" in str(error) else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
client.segment(image)
client.close()
"""
        subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=20)
