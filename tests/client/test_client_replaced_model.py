"""A server that comes back with another model: names and colours are those of who answered."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

import tritonseg

NORMAL = {"ModelMetadata": 1, "ModelConfig": 1}


def republish(triton, classes, *, contract=None):
    """Give the model other names, one colour each; the digest follows, as a build's does."""
    document = json.loads(triton.parameters["tritonseg_model"])
    document |= {"classes": list(classes), "palette": [[9, 9, i] for i in range(len(classes))]}
    text = json.dumps(document)
    triton.parameters["tritonseg_model"] = text
    digest = hashlib.sha256(text.encode()).hexdigest()
    triton.parameters["tritonseg_digest"] = json.dumps(digest)
    if contract is not None:
        triton.parameters["tritonseg_contract"] = json.dumps(contract)


@pytest.fixture
def reordered(classes):
    return tuple(reversed(classes))


def test_an_answer_costs_one_request(client, triton, photo):
    for _ in range(5):
        client.segment(photo)
    assert triton.calls == {**NORMAL, "ModelInfer": 5}


def test_names_are_those_of_who_answered(client, triton, photo, classes, reordered):
    before = client.segment(photo)
    republish(triton, reordered)
    after = client.segment(photo)
    assert (before.classes, after.classes) == (classes, reordered)
    assert after.palette[1] == (9, 9, 1)
    assert after.model is client.model
    np.testing.assert_array_equal(after.mask(reordered[2]), photo[..., 0] % 5 == 2)
    client.segment(photo)
    assert triton.calls == {"ModelMetadata": 2, "ModelConfig": 2, "ModelInfer": 3}


def test_is_asked_for_once_by_all_threads(client, triton, photo, reordered):
    client.segment(photo)
    republish(triton, reordered)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: client.segment(photo), range(16)))
    assert {result.classes for result in results} == {reordered}
    assert triton.calls == {"ModelMetadata": 2, "ModelConfig": 2, "ModelInfer": 17}


def test_fewer_classes_than_the_map_has(client, triton, photo, classes):
    client.segment(photo)
    republish(triton, classes[:4])
    with pytest.raises(tritonseg.ProtocolError, match=r"class 4.*4 classes"):
        client.segment(photo)


def test_another_contract(client, triton, photo, reordered):
    client.segment(photo)
    republish(triton, reordered, contract="99")
    with pytest.raises(tritonseg.ProtocolError, match="contract '99'"):
        client.segment(photo)


def test_confidence_that_another_build_gives(client, triton, photo):
    """Known as a model without it, replaced by one that has it."""
    edit = triton.edit_metadata

    def without_confidence(response):
        del response.outputs[1]

    triton.edit_metadata = without_confidence
    client.segment(photo)
    with pytest.raises(tritonseg.ConfigurationError, match="gives no confidence"):
        client.segment(photo, confidence=True)
    triton.edit_metadata = edit
    assert client.segment(photo, confidence=True).confidence is not None


def test_answer_and_description_that_never_agree(connect, triton, photo):
    """Two servers behind one address, say, in the middle of an update."""
    client = connect(triton.url)

    def edit(response):
        response.raw_output_contents[1] = bytes(32)

    triton.edit_answer = edit
    with pytest.raises(tritonseg.ModelNotReadyError, match=r"replaced while.*again") as caught:
        client.segment(photo)
    assert caught.value.retryable
    assert triton.calls["ModelInfer"] == caught.value.attempts == 3


@pytest.mark.parametrize("content", [bytes(31), b""])
def test_broken_digest(client, triton, photo, content):
    def edit(response):
        response.raw_output_contents[1] = content

    triton.edit_answer = edit
    with pytest.raises(tritonseg.ProtocolError, match="MODEL_DIGEST"):
        client.segment(photo)


def test_server_with_older_steps_than_the_build(client, triton, photo):
    def edit(response):
        del response.outputs[1]
        del response.raw_output_contents[1]

    triton.edit_answer = edit
    with pytest.raises(tritonseg.ProtocolError, match=r"MODEL_DIGEST.*server is older.*install"):
        client.segment(photo)


@pytest.mark.parametrize("text", ["", "null", '"0123"'])
def test_digest_without_its_parameter(client, triton, text):
    triton.parameters["tritonseg_digest"] = text
    with pytest.raises(tritonseg.ProtocolError, match="tritonseg_digest"):
        _ = client.model


def test_rejected_request_asks_again(client, triton, photo, reordered):
    """A model that no longer gives what was asked for refuses it, as Triton does."""
    client.segment(photo)
    republish(triton, reordered)
    triton.gives_digest = False
    refusal = "unexpected inference output 'MODEL_DIGEST' for model 'street-demo'"
    triton.fail(grpc.StatusCode.INVALID_ARGUMENT, refusal, times=1)
    assert client.segment(photo).classes == reordered
    assert [output.name for output in triton.raw_requests[-1].outputs] == ["CLASS_MAP"]


def test_rejected_request_of_the_same_model_is_rejected(client, triton, photo):
    client.segment(photo)
    triton.fail(grpc.StatusCode.INVALID_ARGUMENT, "no", times=1)
    with pytest.raises(tritonseg.RequestRejectedError):
        client.segment(photo)
    assert triton.calls["ModelInfer"] == 2


class TestWithoutDigest:
    """A plan with no step behind it, and models of others."""

    @pytest.fixture(autouse=True)
    def _without(self, triton):
        triton.gives_digest = False

    def test_an_answer_costs_one_request(self, client, triton, photo):
        for _ in range(5):
            client.segment(photo)
        assert triton.calls == {**NORMAL, "ModelInfer": 5}
        assert [output.name for output in triton.raw_requests[-1].outputs] == ["CLASS_MAP"]

    def test_is_asked_again_after_a_restart_between_calls(self, client, triton, photo, reordered):
        client.segment(photo)
        triton.stop()
        republish(triton, reordered)
        triton.start()
        time.sleep(0.05)  # what gRPC says of the connection comes from a thread of its own
        assert client.segment(photo).classes == reordered

    def test_is_asked_again_after_the_wire_was_cut(
        self, connect, triton, wire, photo, classes, reordered
    ):
        client = connect(wire.address)
        assert client.segment(photo).classes == classes
        republish(triton, reordered)
        wire.cut()
        time.sleep(0.05)
        assert client.segment(photo).classes == reordered

    def test_is_asked_again_before_a_retry(self, client, triton, photo, reordered):
        client.segment(photo)
        republish(triton, reordered)
        triton.fail(grpc.StatusCode.UNAVAILABLE, "", times=1)
        assert client.segment(photo).classes == reordered

    def test_another_version_is_another_model(self, client, triton, photo, reordered):
        client.segment(photo)
        republish(triton, reordered)
        triton.versions = ["11"]

        def edit(response):
            response.model_version = "11"

        triton.edit_answer = edit
        assert client.segment(photo).classes == reordered

    def test_closes_quietly(self, connect, triton, photo):
        """pytest fails on what a thread leaves behind: gRPC's own must have ended."""
        for _ in range(5):
            client = connect(triton.url)
            client.segment(photo)
            client.close()
