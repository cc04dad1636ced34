"""Servers that ask who is there: headers, tokens, certificates, and by which road one comes."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2_grpc

import tritonseg
from tls_server import secured

IMAGE = np.zeros((2, 3, 3), np.uint8)
SECRET = "s3cr3t-and-long"
RESTRICTED = "This protocol is restricted, expecting header 'triton-grpc-protocol-key'"


def received(triton) -> list[dict[str, str]]:
    """The headers of every call, as they came to the server."""
    return [dict(call) for call in triton.metadata]


def test_headers_go_with_every_call(connect, triton):
    client = connect(triton.url, headers={"triton-grpc-protocol-key": SECRET, "x-team": "a"})
    client.is_ready()
    client.segment(IMAGE)
    sent = received(triton)
    assert len(sent) == 4
    for headers in sent:
        assert headers.items() >= {"triton-grpc-protocol-key": SECRET, "x-team": "a"}.items()


def test_secrets_are_never_shown(connect, triton):
    client = connect(triton.url, headers={"x-key": SECRET})
    triton.fail(grpc.StatusCode.PERMISSION_DENIED, "no")
    with pytest.raises(tritonseg.AccessDeniedError) as caught:
        client.segment(IMAGE)
    shown = [repr(client), str(caught.value), repr(caught.value), caught.value.debug_details]
    assert not [text for text in shown if SECRET in text]


@pytest.mark.parametrize("method", ["ModelMetadata", "ModelConfig", "ModelInfer"])
def test_what_is_closed_to_us_is_no_matter_of_trying_again(client, triton, method):
    triton.fail(grpc.StatusCode.UNAVAILABLE, RESTRICTED, method=method)
    with pytest.raises(
        tritonseg.AccessDeniedError, match=r"headers=.*triton-grpc-protocol-key"
    ) as (caught):
        client.segment(IMAGE)
    assert (caught.value.attempts, caught.value.retryable) == (1, False)
    assert triton.calls[method] == 1


@pytest.mark.parametrize(
    ("headers", "match"),
    [
        ({"X-Key": "a"}, "name must be of a-z"),
        ({SECRET + "é": "x-key"}, "name must be of a-z"),
        ({"grpc-timeout": "a"}, "name"),
        ({"key-bin": "a"}, "name"),
        ({"": "a"}, "name"),
        ({1: "a"}, "name"),
        ({"key": SECRET + "\n"}, "'key' must be printable"),
        ({"key": SECRET + "é"}, "'key' must be printable"),
        ({"key": None}, "'key' must be printable"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(connect, headers, match):
    with pytest.raises(tritonseg.ConfigurationError, match=match) as caught:
        connect("localhost:1", headers=headers)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"limits": 5}, {"retry": 3}, {"headers": "ab"}, {"headers": 5}, {"credentials": "x"},
     {"token": ""}, {"token": b"x"}],
)  # fmt: skip
def test_arguments_of_another_kind_are_refused_at_once(connect, options):
    with pytest.raises(tritonseg.ConfigurationError, match=next(iter(options))):
        connect("localhost:1", **options)


def test_a_token_is_not_sent_in_the_clear(connect):
    with pytest.raises(tritonseg.ConfigurationError, match="credentials=") as caught:
        connect("localhost:1", token=SECRET)
    assert SECRET not in str(caught.value)


def test_a_token_goes_over_tls(connect, triton, tmp_path):
    with secured(triton, tmp_path) as (address, (_, certificate)):
        trusted = grpc.ssl_channel_credentials(certificate)
        client = connect(address, credentials=trusted, token=SECRET)
        client.segment(IMAGE)
        assert SECRET not in repr(client)
    assert {headers["authorization"] for headers in received(triton)} == {f"Bearer {SECRET}"}


def test_tls_is_neither_left_out_nor_believed_blindly(connect, triton, tmp_path):
    with secured(triton, tmp_path) as (address, (_, certificate)):
        assert connect(address, credentials=grpc.ssl_channel_credentials(certificate)).is_ready()
        assert not connect(address).is_ready()
        with pytest.raises(tritonseg.TransportError):
            connect(address, credentials=grpc.ssl_channel_credentials()).segment(IMAGE)


def test_a_server_that_asks_for_a_certificate_gets_ours(connect, triton, tmp_path):
    with secured(triton, tmp_path, asks_for_certificate=True) as (address, (key, certificate)):
        ours = grpc.ssl_channel_credentials(certificate, key, certificate)
        assert connect(address, credentials=ours).segment(IMAGE).class_map.shape == (2, 3)
        without = connect(address, credentials=grpc.ssl_channel_credentials(certificate))
        with pytest.raises(tritonseg.TransportError):
            without.segment(IMAGE)


def test_over_a_unix_socket(connect, triton, tmp_path):
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton._service(), server)
    server.add_insecure_port(f"unix:{tmp_path}/triton.sock")
    server.start()
    try:
        for scheme in ("unix:", "unix://"):
            client = connect(f"{scheme}{tmp_path}/triton.sock")
            assert client.segment(IMAGE).class_map.shape == (2, 3)
    finally:
        server.stop(None).wait()


def test_over_a_name_that_is_looked_up(connect, triton):
    assert connect(f"dns:///{triton.url.replace('127.0.0.1', 'localhost')}").segment(
        IMAGE
    ).class_map.shape == (2, 3)


def test_the_environments_proxy_is_for_the_web(connect, triton, monkeypatch, refused_address):
    monkeypatch.setenv("http_proxy", f"http://{refused_address}")
    monkeypatch.setenv("https_proxy", f"http://{refused_address}")
    assert connect(triton.url).segment(IMAGE).class_map.shape == (2, 3)


@pytest.mark.parametrize("kind", [tritonseg.SegmentationClient, tritonseg.AsyncSegmentationClient])
def test_a_client_travels_as_its_arguments(kind, triton):
    options = {"model": "street-demo", "timeout_s": 7.0, "headers": {"x-key": SECRET}}
    client = kind(triton.url, transport="encoded", **options)
    other = pickle.loads(pickle.dumps(client))
    assert repr(other) == repr(client)
    assert other._settings == client._settings


def test_what_travelled_works(connect, triton):
    with pickle.loads(
        pickle.dumps(tritonseg.SegmentationClient(triton.url, model="street-demo"))
    ) as client:
        assert client.segment(IMAGE).class_map.shape == (2, 3)


def test_credentials_do_not_travel(connect):
    client = tritonseg.SegmentationClient(
        "localhost:1", model="m", credentials=grpc.ssl_channel_credentials()
    )
    with client, pytest.raises(tritonseg.ConfigurationError, match="credentials"):
        pickle.dumps(client)
