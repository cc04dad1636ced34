"""Answers that break the contract: each is a `ProtocolError`, none is a class map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from tritonseg import InferenceFailedError, ProtocolError
from tritonseg._calls.protocol import (
    OptionalTensors,
    build_infer_request,
    check_tensors,
    parse_infer_response,
)
from tritonseg._pictures.picture import RgbImage

CLASS_COUNT = 5
IMAGE = RgbImage(pixels=bytes(4 * 6 * 3), size=(4, 6), stored_size=(4, 6))
REQUEST = build_infer_request(model_name="street-demo", request_id="r1", picture=IMAGE)
CLASS_MAP = np.arange(24, dtype=np.uint8).reshape(4, 6) % CLASS_COUNT


def make_response(**changes) -> service_pb2.ModelInferResponse:
    fields = {"id": "r1", "model": "street-demo", "name": "CLASS_MAP", "datatype": "UINT8"}
    fields |= {"shape": [1, 4, 6], "content": CLASS_MAP.tobytes()} | changes
    response = service_pb2.ModelInferResponse(id=fields["id"], model_name=fields["model"])
    response.outputs.add(name=fields["name"], datatype=fields["datatype"], shape=fields["shape"])
    response.raw_output_contents.append(fields["content"])
    return response


def parse(response):
    answer = parse_infer_response(response, request=REQUEST, size=(4, 6), class_count=CLASS_COUNT)
    assert answer.confidence is None
    return answer.class_map


def make_metadata(inputs, outputs) -> service_pb2.ModelMetadataResponse:
    response = service_pb2.ModelMetadataResponse(name="street-demo")
    for tensors, described in ((response.inputs, inputs), (response.outputs, outputs)):
        for name, datatype, shape in described:
            tensors.add(name=name, datatype=datatype, shape=shape)
    return response


IMAGE_TENSOR = ("IMAGE", "UINT8", [-1, -1, -1, 3])
CLASS_MAP_TENSOR = ("CLASS_MAP", "UINT8", [-1, -1, -1])


class TestResponse:
    def test_class_map(self):
        class_map = parse(make_response())
        np.testing.assert_array_equal(class_map, CLASS_MAP)
        assert class_map.dtype == np.uint8

    def test_among_other_outputs(self):
        response = service_pb2.ModelInferResponse(id="r1", model_name="street-demo")
        for name, content in (("OTHER", b"\0" * 4), ("CLASS_MAP", CLASS_MAP.tobytes())):
            shape = [1, 4, 6] if name == "CLASS_MAP" else [4]
            response.outputs.add(name=name, datatype="UINT8", shape=shape)
            response.raw_output_contents.append(content)
        np.testing.assert_array_equal(parse(response), CLASS_MAP)

    @pytest.mark.parametrize(
        "changes",
        [
            {"id": "r2"},
            {"id": ""},
            {"model": "other"},
            {"name": "SCORES"},
            {"datatype": "INT8"},
            {"datatype": "FP32"},
            {"shape": [1, 6, 4]},
            {"shape": [4, 6]},
            {"shape": [24]},
            {"shape": [2, 4, 6]},
            {"shape": [1, 4, -6]},
            {"content": b""},
            {"content": bytes(23)},
            {"content": bytes(25)},
            {"content": bytes(23) + b"\x05"},
            {"content": b"\xfe" * 24},
        ],
        ids=str,
    )
    def test_broken(self, changes):
        with pytest.raises(ProtocolError):
            parse(make_response(**changes))

    def test_class_that_the_model_does_not_have_is_named(self):
        with pytest.raises(ProtocolError, match=r"class 7.*5 classes.*new client"):
            parse(make_response(content=b"\x07" * 24))

    def test_what_the_network_marked_is_its_failure(self):
        """A fused engine on a GPU has no step behind it that could answer with an error."""
        with pytest.raises(InferenceFailedError, match=r"NaN or infinite scores.* at 3 pixels"):
            parse(make_response(content=b"\xff" * 3 + bytes(21)))

    def test_typed_contents_are_not_raw_ones(self):
        response = make_response()
        del response.raw_output_contents[:]
        response.outputs[0].contents.uint_contents.extend(CLASS_MAP.reshape(-1).tolist())
        with pytest.raises(ProtocolError, match="0 raw contents"):
            parse(response)

    def test_no_output_and_two_of_them(self):
        with pytest.raises(ProtocolError):
            parse(service_pb2.ModelInferResponse(id="r1", model_name="street-demo"))
        twice = make_response()
        twice.MergeFrom(make_response())
        with pytest.raises(ProtocolError, match="'CLASS_MAP', 'CLASS_MAP'"):
            parse(twice)

    @given(data=st.data())
    def test_mutated_bytes_give_the_map_or_protocol_error(self, data):
        wire = bytearray(make_response().SerializeToString())
        # The map's own 24 bytes are the answer; what surrounds them must not be misread.
        position = data.draw(st.integers(0, len(wire) - 25))
        wire[position] = data.draw(st.integers(0, 255))
        try:
            response = service_pb2.ModelInferResponse.FromString(bytes(wire))
        except Exception:  # noqa: BLE001 - gRPC turns what cannot be parsed into INTERNAL
            return
        try:
            class_map = parse(response)
        except ProtocolError:
            return
        np.testing.assert_array_equal(class_map, CLASS_MAP)


class TestTensors:
    def test_contract(self):
        check_tensors(make_metadata([IMAGE_TENSOR], [CLASS_MAP_TENSOR]))

    @pytest.mark.parametrize("encoded_image", [False, True])
    @pytest.mark.parametrize("confidence", [False, True])
    @pytest.mark.parametrize("digest", [False, True])
    def test_optional_ones(self, encoded_image, confidence, digest):
        metadata = make_metadata(
            [IMAGE_TENSOR] + [("ENCODED_IMAGE", "BYTES", [-1, 1])] * encoded_image,
            [CLASS_MAP_TENSOR, ("CLASS_PIXELS", "INT64", [-1, 5])]
            + [("CONFIDENCE", "UINT8", [-1, -1, -1])] * confidence
            + [("MODEL_DIGEST", "UINT8", [-1, 32])] * digest,
        )
        assert check_tensors(metadata) == OptionalTensors(
            encoded_image=encoded_image, confidence=confidence, digest=digest
        )

    @pytest.mark.parametrize(
        ("inputs", "outputs", "name"),
        [
            ([("ENCODED_IMAGE", "UINT8", [-1, -1])], [], "ENCODED_IMAGE BYTES"),
            ([("ENCODED_IMAGE", "BYTES", [-1, 2])], [], "ENCODED_IMAGE BYTES"),
            ([("ENCODED_IMAGE", "BYTES", [1])], [], "ENCODED_IMAGE BYTES"),
            ([], [("CONFIDENCE", "FP32", [-1, -1, -1])], "CONFIDENCE UINT8"),
            ([], [("CONFIDENCE", "UINT8", [-1, 5, -1, -1])], "CONFIDENCE UINT8"),
        ],
    )
    def test_optional_ones_that_are_something_else(self, inputs, outputs, name):
        metadata = make_metadata([IMAGE_TENSOR, *inputs], [CLASS_MAP_TENSOR, *outputs])
        with pytest.raises(ProtocolError, match=name):
            check_tensors(metadata)

    def test_fixed_size(self):
        check_tensors(
            make_metadata(
                [("IMAGE", "UINT8", [-1, 1024, 2048, 3])],
                [("CLASS_MAP", "UINT8", [-1, 1024, 2048])],
            )
        )

    @pytest.mark.parametrize(
        "image",
        [
            ("input", "UINT8", [-1, -1, -1, 3]),
            ("IMAGE", "FP32", [-1, -1, -1, 3]),
            ("IMAGE", "UINT8", [-1, 3, -1, -1]),
            ("IMAGE", "UINT8", [-1, -1, 3]),
            ("IMAGE", "UINT8", [-1, -1, -1, 4]),
        ],
        ids=str,
    )
    def test_other_input(self, image):
        with pytest.raises(ProtocolError, match="input IMAGE"):
            check_tensors(make_metadata([image], [CLASS_MAP_TENSOR]))

    @pytest.mark.parametrize(
        "class_map",
        [
            ("SCORES", "UINT8", [-1] * 3),
            ("CLASS_MAP", "INT64", [-1] * 3),
            ("CLASS_MAP", "UINT8", [-1] * 4),
        ],
        ids=str,
    )
    def test_other_output(self, class_map):
        with pytest.raises(ProtocolError, match="output CLASS_MAP"):
            check_tensors(make_metadata([IMAGE_TENSOR], [class_map]))
