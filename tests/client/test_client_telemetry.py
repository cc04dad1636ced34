"""What a client tells of its calls: to a hook, in counters, in the result, and to OpenTelemetry."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import grpc
import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import tritonseg

IMAGE = np.zeros((2, 3, 3), np.uint8)
SECRET = "s3cr3t-and-long"


class TestHook:
    def test_every_attempt(self, connect, triton):
        attempts = []
        client = connect(triton.url, on_attempt=attempts.append)
        triton.fail(grpc.StatusCode.UNAVAILABLE, "queue full", times=1)
        client.segment(IMAGE, request_id="r7")
        described, failed, succeeded = attempts
        assert (described.purpose, described.number, described.error) == ("describe", 1, None)
        assert (failed.purpose, failed.number, failed.request_id) == ("segment", 1, "r7")
        assert isinstance(failed.error, tritonseg.OverloadedError)
        assert 0 < failed.retry_in_s <= 0.01
        assert (succeeded.number, succeeded.error, succeeded.retry_in_s) == (2, None, None)
        assert 0 < succeeded.duration_s < 5
        assert {attempt.model_name for attempt in attempts} == {"street-demo"}

    def test_last_one_of_a_call_that_fails(self, connect, triton):
        attempts = []
        client = connect(triton.url, on_attempt=attempts.append)
        client.describe()
        triton.fail(grpc.StatusCode.UNAVAILABLE, "queue full")
        with pytest.raises(tritonseg.OverloadedError) as caught:
            client.segment(IMAGE)
        assert [attempt.number for attempt in attempts[1:]] == [1, 2, 3]
        assert attempts[-1].error is caught.value
        assert attempts[-1].retry_in_s is None

    def test_that_raises_stops_nothing(self, connect, triton, caplog):
        def broken(attempt):
            raise RuntimeError("of the hook")

        with caplog.at_level(logging.ERROR, "tritonseg"):
            result = connect(triton.url, on_attempt=broken).segment(IMAGE)
        assert result.class_map.shape == (2, 3)
        assert "on_attempt raised" in caplog.text
        assert "of the hook" in caplog.text

    def test_attempt_that_is_cancelled(self, triton):
        attempts = []

        async def cancelled() -> None:
            async with tritonseg.AsyncSegmentationClient(
                triton.url, model="street-demo", on_attempt=attempts.append
            ) as client:
                await client.describe()
                triton.delay(5)
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(client.segment(IMAGE), 0.3)
                counted = client.statistics
                assert (counted.attempts, counted.in_flight) == (2, 0)
                assert dict(counted.failed) == {"CancelledError": 1}

        asyncio.run(cancelled())
        assert [type(attempt.error) for attempt in attempts] == [
            type(None), asyncio.CancelledError
        ]  # fmt: skip

    def test_unusable(self):
        with pytest.raises(tritonseg.ConfigurationError, match="on_attempt must be callable"):
            tritonseg.SegmentationClient("h:1", model="m", on_attempt="log")


class TestStatistics:
    def test_of_nothing(self, client):
        statistics = client.statistics
        assert (statistics.calls, statistics.in_flight, statistics.attempts) == (0, 0, 0)
        assert dict(statistics.failed) == {}

    def test_add_up(self, connect, triton):
        client = connect(triton.url)
        for _ in range(3):
            client.segment(IMAGE)
        with pytest.raises(tritonseg.ImageDecodeError):
            client.segment(b"no picture")
        triton.fail(grpc.StatusCode.UNAVAILABLE, "queue full", times=4)
        with pytest.raises(tritonseg.OverloadedError):
            client.segment(IMAGE)
        list(client.segment_many([IMAGE, IMAGE]))
        counted = client.statistics
        assert (counted.calls, counted.succeeded, counted.in_flight) == (7, 5, 0)
        assert dict(counted.failed) == {"ImageDecodeError": 1, "OverloadedError": 1}
        assert counted.retries == 3  # two of the call that failed, one of the two after it
        assert counted.attempts == 1 + 6 + 3  # the model, a first attempt for each picture, retries

    def test_of_what_goes_on(self, client, triton):
        import threading

        triton.delay(0.5)
        client.describe()
        call = threading.Thread(target=client.segment, args=(IMAGE,))
        call.start()
        while not triton.calls["ModelInfer"]:
            pass
        assert client.statistics.in_flight == 1
        call.join()
        assert client.statistics.in_flight == 0


class TestTimings:
    def test_of_one_attempt(self, client, triton):
        client.describe()
        triton.delay(0.2)
        timings = client.segment(IMAGE).timings
        assert timings.attempts == 1
        assert 0.2 <= timings.attempt_s <= timings.total_s < 5
        assert 0 <= timings.read_s <= timings.total_s - timings.attempt_s

    def test_of_two(self, connect, triton):
        pause = tritonseg.RetryPolicy(initial_delay_s=0.4, max_delay_s=0.4)
        client = connect(triton.url, retry=pause)
        client.describe()
        triton.fail(grpc.StatusCode.UNAVAILABLE, "queue full", times=1)
        timings = client.segment(IMAGE).timings
        assert timings.attempts == 2
        assert timings.total_s - timings.attempt_s >= 0.3  # the pause


@pytest.fixture(scope="module")
def provider():
    """The process's own, which can be set once."""
    provider = TracerProvider()
    trace.set_tracer_provider(provider)
    return provider


@pytest.fixture
def spans(provider):
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()


class TestTracing:
    def test_server_is_told(self, connect, triton, spans):
        client = connect(triton.url, tracing=True, headers={"x-key": SECRET})
        client.segment(IMAGE, request_id="r7")
        (span,) = spans.get_finished_spans()
        assert span.name == "tritonseg.segment"
        assert span.kind is trace.SpanKind.CLIENT
        assert span.attributes["tritonseg.model"] == "street-demo"
        assert span.attributes["tritonseg.request_id"] == "r7"
        assert span.attributes["server.address"] == triton.url
        told = triton.requests[-1].headers["traceparent"].split("-")
        assert told[1] == f"{span.context.trace_id:032x}"
        assert told[2] == f"{span.context.span_id:016x}"
        assert SECRET not in span.to_json()

    def test_hangs_below_the_callers(self, triton, spans):
        tracer = trace.get_tracer("test")
        options = {"model": "street-demo", "tracing": True}

        async def in_asyncio() -> None:
            async with tritonseg.AsyncSegmentationClient(triton.url, **options) as client:
                await client.segment(IMAGE)

        with tracer.start_as_current_span("caller") as caller:
            with tritonseg.SegmentationClient(triton.url, **options) as client:
                client.segment(IMAGE)
            asyncio.run(in_asyncio())
        *below, _ = spans.get_finished_spans()
        assert [span.parent.span_id for span in below] == [caller.get_span_context().span_id] * 2

    def test_failures(self, connect, triton, spans):
        client = connect(triton.url, tracing=True)
        triton.fail(grpc.StatusCode.UNAVAILABLE, "queue full", times=1)
        client.segment(IMAGE)
        triton.fail(grpc.StatusCode.INTERNAL, "boom")
        with pytest.raises(tritonseg.InferenceFailedError):
            client.segment(IMAGE)
        retried, failed = spans.get_finished_spans()
        assert retried.status.is_ok
        (event,) = retried.events
        assert event.attributes["error.type"] == "OverloadedError"
        assert event.attributes["tritonseg.attempt"] == 1
        assert not failed.status.is_ok
        assert failed.attributes["error.type"] == "InferenceFailedError"

    def test_that_fails_costs_no_mask(self, connect, triton, provider, monkeypatch, caplog):
        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("of the exporter")

        client = connect(triton.url, tracing=True)
        for place in ("start_span", "end"):
            with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, "tritonseg"):
                if place == "start_span":
                    patch.setattr("opentelemetry.propagate.inject", broken)
                else:
                    patch.setattr("opentelemetry.sdk.trace.Span.end", broken)
                assert client.segment(IMAGE).class_map.shape == (2, 3)
            assert "of the exporter" in caplog.text
            caplog.clear()

    def test_off_unless_asked_for(self, client, triton, spans):
        client.segment(IMAGE)
        assert not spans.get_finished_spans()
        assert "traceparent" not in triton.requests[-1].headers

    def test_without_opentelemetry(self):
        code = (
            "import sys; sys.modules['opentelemetry'] = None\n"
            "import tritonseg\n"
            "tritonseg.SegmentationClient('h:1', model='m').close()\n"
            "tritonseg.SegmentationClient('h:1', model='m', tracing=True)\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
        assert "tritonseg.ConfigurationError: tracing=True needs OpenTelemetry" in ended.stderr
