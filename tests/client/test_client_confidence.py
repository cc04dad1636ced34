"""How sure the model is, asked for picture by picture."""

from __future__ import annotations

import numpy as np
import pytest

import tritonseg


def edit_output(triton, **changes):
    """Let the server spoil its second output, the confidence."""

    def edit(response):
        for field, value in changes.items():
            if field == "content":
                response.raw_output_contents[1] = value
            elif field == "shape":
                response.outputs[1].shape[:] = value
            else:
                setattr(response.outputs[1], field, value)

    triton.edit_answer = edit


def test_comes_with_the_class_map(client, photo):
    result = client.segment(photo, confidence=True)
    np.testing.assert_array_equal(result.class_map, photo[..., 0] % 5)
    np.testing.assert_array_equal(result.confidence, photo[..., 1])
    assert result.confidence.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        result.confidence[0, 0] = 1


def test_request_asks_by_parameter_and_by_output(client, triton, photo):
    client.segment(photo, confidence=True)
    (request,) = triton.raw_requests
    assert set(request.parameters) == {"confidence"}
    assert request.parameters["confidence"].bool_param is True
    assert [output.name for output in request.outputs] == [
        "CLASS_MAP",
        "CONFIDENCE",
        "MODEL_DIGEST",
    ]


def test_is_not_asked_for_by_default(client, triton, photo):
    assert client.segment(photo).confidence is None
    assert not triton.raw_requests[0].parameters


def test_model_without_it_is_named_before_a_picture_is_sent(client, triton, photo):
    def edit(response):
        del response.outputs[1]

    triton.edit_metadata = edit
    with pytest.raises(tritonseg.ConfigurationError, match=r"no confidence.*scores") as caught:
        client.segment(photo, confidence=True, request_id="frame-17")
    assert caught.value.request_id == "frame-17"
    assert not triton.raw_requests
    assert not client.model.gives_confidence
    assert client.segment(photo).confidence is None


def test_model_with_it_says_so(client):
    assert client.model.gives_confidence


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "OTHER"},
        {"name": "CLASS_MAP"},
        {"datatype": "FP32"},
        {"shape": [1, 8, 6]},
        {"shape": [6, 8]},
        {"content": bytes(47)},
        {"content": b""},
    ],
    ids=str,
)
def test_broken(client, triton, photo, changes):
    edit_output(triton, **changes)
    with pytest.raises(tritonseg.ProtocolError):
        client.segment(photo, confidence=True)


def test_left_out(client, triton, photo):
    def edit(response):
        del response.outputs[1]
        del response.raw_output_contents[1]

    triton.edit_answer = edit
    with pytest.raises(tritonseg.ProtocolError, match="expected one output CONFIDENCE"):
        client.segment(photo, confidence=True)


def test_answer_to_the_largest_picture_gets_through(connect, triton):
    # One map alone leaves no room for the other below gRPC's limit for the answer.
    image = np.full((4200, 4200, 3), 3, np.uint8)
    client = connect(triton.url, limits=tritonseg.ImageLimits(max_pixels=4200 * 4200))
    result = client.segment(image, confidence=True)
    assert (result.class_map == 3).all()
    assert (result.confidence == 3).all()
