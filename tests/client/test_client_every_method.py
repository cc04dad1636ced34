"""Every public method of both clients in every trouble: a typed error, in time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

import tritonseg
from every_method import GRACE_S, IMAGE, METHODS, TIMEOUT_S, failure_of
from tritonseg.testing import METHODS as RPCS

WITHOUT_ANSWER = {"is_ready": None}
AMPLE_S = 10.0
"""Where the answer comes at once, so that a busy machine changes nothing."""


@pytest.fixture
def connect_briefly(connect):
    """Clients whose calls have half a second."""
    return lambda address, **options: connect(address, timeout_s=TIMEOUT_S, **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("situation", "error"),
    [
        ("black hole", tritonseg.DeadlineExceededError),
        ("refused", tritonseg.ConnectError),
        ("slow", tritonseg.DeadlineExceededError),
    ],
)
def test_nobody_answers(
    connect_briefly, triton, silent_address, refused_address, situation, error, method
):
    addresses = {"black hole": silent_address, "refused": refused_address, "slow": triton.url}
    for rpc in RPCS:
        triton.delay(5.0, method=rpc)
    client = connect_briefly(addresses[situation])
    assert failure_of(client, method) is WITHOUT_ANSWER.get(method, error)


@pytest.mark.parametrize("method", METHODS)
def test_the_server_freezes(connect_briefly, wire, method):
    """Of a connection that stands, as where the server is stopped by SIGSTOP."""
    client = connect_briefly(wire.address)
    assert client.is_ready(timeout_s=5)
    wire.freeze()
    expected = WITHOUT_ANSWER.get(method, tritonseg.DeadlineExceededError)
    assert failure_of(client, method) is expected


@pytest.mark.parametrize("method", METHODS)
def test_the_connection_is_cut_in_the_middle(connect_briefly, triton, wire, method):
    client = connect_briefly(wire.address)
    assert client.is_ready(timeout_s=5)
    for rpc in RPCS:
        triton.delay(5.0, method=rpc)
    ended = threading.Event()

    def cut_until_ended():
        while not ended.wait(0.05):
            wire.cut()

    with ThreadPoolExecutor(1) as pool:
        cutting = pool.submit(cut_until_ended)
        try:
            failure = failure_of(client, method)
        finally:
            ended.set()
        cutting.result()
    assert failure is None or issubclass(failure, tritonseg.TransportError), failure


@pytest.fixture
def spoiling(triton):
    """A server between client and fake that changes the bytes of every answer."""
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(4), options=unlimited)
    channel = grpc.insecure_channel(triton.url, options=unlimited)

    class Spoiling(grpc.GenericRpcHandler):
        spoil = staticmethod(bytes)

        def service(self, details):
            ask = channel.unary_unary(details.method)
            return grpc.unary_unary_rpc_method_handler(
                lambda request, _: self.spoil(ask(request, timeout=5))
            )

    handler = Spoiling()
    server.add_generic_rpc_handlers((handler,))
    handler.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield handler
    server.stop(None).wait()
    channel.close()


def test_whoever_spoils_nothing_changes_nothing(connect, spoiling):
    client = connect(spoiling.address)
    assert client.is_ready()
    assert client.segment(IMAGE).class_map.shape == (2, 3)


SPOILT = {
    "truncated": lambda answer: answer[: len(answer) // 2],
    "cut by a byte": lambda answer: answer[:-1],
    "garbled": lambda answer: bytes(byte ^ 0x5A for byte in answer),
    "a web page": lambda answer: b"<html>Bad Gateway</html>",
    "empty": lambda answer: b"",
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", SPOILT)
def test_every_answer_is_spoilt(connect, spoiling, how, method):
    spoiling.spoil = SPOILT[how]
    # Nothing at all is a message, too: that of a model that is not ready.
    is_unready = (how, method) == ("empty", "wait_ready")
    failure = failure_of(connect(spoiling.address), method, TIMEOUT_S if is_unready else AMPLE_S)
    error = tritonseg.ModelNotReadyError if is_unready else tritonseg.ProtocolError
    assert failure is WITHOUT_ANSWER.get(method, error)


@pytest.mark.parametrize("method", ["segment", "segment_many"])
@pytest.mark.parametrize("how", ["truncated", "cut by a byte", "garbled", "empty"])
def test_only_the_mask_is_spoilt(connect, spoiling, how, method):
    """The model is known already, so that this is about the answer with the mask."""
    client = connect(spoiling.address)
    client.describe()
    spoiling.spoil = SPOILT[how]
    assert failure_of(client, method, AMPLE_S) is tritonseg.ProtocolError


BROKEN = {
    "wrong shape": lambda response: response.outputs[0].shape.append(1),
    "wrong type": lambda response: setattr(response.outputs[0], "datatype", "INT32"),
    "missing output": lambda response: response.outputs.pop(0),
    "class out of range": lambda response: response.raw_output_contents.__setitem__(0, b"\x07" * 6),
}


@pytest.mark.parametrize("method", ["segment", "segment_many"])
@pytest.mark.parametrize("how", BROKEN)
def test_the_answer_breaks_the_contract(client, triton, how, method):
    triton.edit_answer = BROKEN[how]
    assert failure_of(client, method, AMPLE_S) is tritonseg.ProtocolError


def test_one_of_many_does_not_wait_for_the_others(connect_briefly, triton):
    """Each has a deadline of its own, from when its turn comes."""
    triton.delay(5.0)
    client = connect_briefly(triton.url)
    begin_s = time.monotonic()
    outcomes = [outcome for _, outcome in client.segment_many([IMAGE] * 4, max_in_flight=4)]
    assert {type(outcome) for outcome in outcomes} == {tritonseg.DeadlineExceededError}
    assert time.monotonic() - begin_s < TIMEOUT_S + GRACE_S
