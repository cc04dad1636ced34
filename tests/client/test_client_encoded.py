"""Files that travel as they are, against a loopback Triton with a real server's decoder."""

from __future__ import annotations

import io
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from PIL import Image
from tritonclient.utils import serialize_byte_tensor

import tritonseg

REFUSAL = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def sender(triton, connect):
    return connect(triton.url, transport="encoded")


def encode(image_hwc: np.ndarray, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image_hwc).save(buffer, format=format, **options)
    return buffer.getvalue()


def sent_tensors(triton) -> list[str]:
    return [tensor.name for request in triton.raw_requests for tensor in request.inputs]


class TestRequest:
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
    def test_is_the_files_own_bytes(self, sender, triton, photo, tmp_path, format):
        encoded = encode(photo, format)
        path = tmp_path / "street"
        path.write_bytes(encoded)
        sources = [path, str(path), encoded, bytearray(encoded), memoryview(encoded)]
        for source in sources:
            sender.segment(source, request_id="frame-17")
        expected = serialize_byte_tensor(np.array([[encoded]], object)).item()
        for request in triton.raw_requests:
            assert (request.model_name, request.id) == ("street-demo", "frame-17")
            (tensor,) = request.inputs
            assert (tensor.name, tensor.datatype) == ("ENCODED_IMAGE", "BYTES")
            assert list(tensor.shape) == [1, 1]
            assert list(request.raw_input_contents) == [expected]
            assert [output.name for output in request.outputs] == ["CLASS_MAP", "MODEL_DIGEST"]
            assert not request.parameters
        assert len(triton.raw_requests) == len(sources)

    def test_is_pixels_where_there_is_no_file_that_the_server_decodes(
        self, sender, client, triton, photo
    ):
        transparent = np.dstack([photo, photo[..., :1]])
        sources = [photo, Image.fromarray(photo), encode(photo, "BMP"), encode(photo, "TIFF")]
        for source in [*sources, encode(transparent), encode(transparent, "TIFF")]:
            triton.raw_requests.clear()
            result, expected = sender.segment(source), client.segment(source)
            np.testing.assert_array_equal(result.class_map, expected.class_map)
            np.testing.assert_array_equal(result.image_hwc, expected.image_hwc)
            assert sent_tensors(triton) == ["IMAGE", "IMAGE"]

    def test_is_pixels_for_a_model_that_takes_no_files(self, sender, triton, photo):
        triton.edit_metadata = lambda response: response.inputs.pop()
        result = sender.segment(encode(photo))
        np.testing.assert_array_equal(result.class_map, photo[..., 0] % 5)
        assert sent_tensors(triton) == ["IMAGE"]
        assert not sender.model.takes_files

    def test_is_pixels_unless_told_otherwise(self, client, triton, photo):
        client.segment(encode(photo))
        assert sent_tensors(triton) == ["IMAGE"]
        assert client.model.takes_files

    @pytest.mark.parametrize("transport", ["", "jpeg", 7, True, "RAW"])
    def test_other_transports(self, transport):
        with pytest.raises(tritonseg.ConfigurationError, match="transport must be 'raw'"):
            tritonseg.SegmentationClient("h:1", model="m", transport=transport)


class TestResult:
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
    def test_is_that_of_the_pixels(self, sender, client, photo, format, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        encoded = encode(photo, format, exif=exif)
        result, expected = sender.segment(encoded), client.segment(encoded)
        np.testing.assert_array_equal(result.class_map, expected.class_map)
        assert result.image_size == expected.image_size
        assert result.stored_size == expected.stored_size == (6, 8)
        assert result.overlay() == expected.overlay()
        np.testing.assert_array_equal(result.image_hwc, expected.image_hwc)

    def test_file_is_decoded_once_and_only_if_the_picture_is_looked_at(self, sender, triton, photo):
        encoded = encode(photo)
        cut_off = encoded[:-30]  # whoever decodes it fails
        triton.decode = lambda _: photo
        result = sender.segment(cut_off)
        assert result.coverage
        assert result.to_dict()
        assert "street-demo" in repr(result)
        assert result.mask("road").shape == (6, 8)
        with pytest.raises(tritonseg.ImageDecodeError):
            result.overlay()
        whole = sender.segment(encoded)
        assert np.shares_memory(whole.image_hwc, whole.image_hwc)
        with pytest.raises(ValueError, match="read-only"):
            whole.image_hwc[0, 0] = 1

    def test_threads_may_look_at_once(self, sender):
        noise = np.random.default_rng(7).integers(0, 256, (300, 400, 3), np.uint8)
        result = sender.segment(encode(noise))
        with ThreadPoolExecutor(8) as pool:
            for image_hwc in pool.map(lambda _: result.image_hwc, range(16)):
                np.testing.assert_array_equal(image_hwc, noise)

    def test_survives_the_way_to_another_process(self, sender, photo):
        copy = pickle.loads(pickle.dumps(sender.segment(encode(photo))))
        np.testing.assert_array_equal(copy.image_hwc, photo)

    def test_size_is_held_against_the_header(self, sender, triton, photo):
        def edit(response):
            response.outputs[0].shape[:] = [1, 8, 6]

        triton.edit_answer = edit
        with pytest.raises(tritonseg.ProtocolError, match=r"\[1, 6, 8\], got UINT8 \[1, 8, 6\]"):
            sender.segment(encode(photo))


class TestRefusal:
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
    def test_broken_file_is_the_same_error_as_with_pixels(
        self, sender, client, triton, tmp_path, format
    ):
        noise = np.random.default_rng(7).integers(0, 256, (64, 64, 3), np.uint8)
        encoded = encode(noise, format)
        path = tmp_path / "street.pic"
        path.write_bytes(encoded[: len(encoded) // 2])
        for segmenter in (sender, client):
            with pytest.raises(tritonseg.ImageDecodeError, match=r"street\.pic") as caught:
                segmenter.segment(path, request_id="frame-17")
            assert (caught.value.request_id, caught.value.retryable) == ("frame-17", False)

    def test_broken_file_is_sent_once_and_its_pixels_never(self, sender, triton, photo):
        with pytest.raises(tritonseg.ImageDecodeError) as caught:
            sender.segment(encode(photo)[:-30])
        assert sent_tensors(triton) == ["ENCODED_IMAGE"]
        # Whoever reads the traceback sees that the server thought so, too.
        contexts = [caught.value]
        while contexts[-1].__context__ is not None:
            contexts.append(contexts[-1].__context__)
        assert any(isinstance(error, tritonseg.RequestRejectedError) for error in contexts)

    def test_bad_header_is_not_sent(self, sender, triton):
        with pytest.raises(tritonseg.ImageDecodeError):
            sender.segment(b"\xff\xd8\xff")
        assert not triton.calls

    def test_good_file_gets_a_second_chance_as_pixels(self, sender, triton, photo):
        triton.fail(REFUSAL, "ENCODED_IMAGE: no decoder", times=1)
        result = sender.segment(encode(photo), confidence=True, request_id="frame-17")
        np.testing.assert_array_equal(result.class_map, photo[..., 0] % 5)
        np.testing.assert_array_equal(result.confidence, photo[..., 1])
        np.testing.assert_array_equal(result.image_hwc, photo)
        assert sent_tensors(triton) == ["ENCODED_IMAGE", "IMAGE"]
        assert [request.id for request in triton.raw_requests] == ["frame-17"] * 2

    def test_refused_as_pixels_too(self, sender, triton, photo):
        triton.fail(REFUSAL, "this model takes pictures of 64x96 only")
        with pytest.raises(tritonseg.RequestRejectedError, match="64x96 only"):
            sender.segment(encode(photo))
        assert sent_tensors(triton) == ["ENCODED_IMAGE", "IMAGE"]

    def test_both_ways_share_the_deadline(self, sender, triton, photo):
        _ = sender.model
        triton.fail(REFUSAL, "", times=1)
        triton.delay(0.6)
        begin_s = time.monotonic()
        with pytest.raises(tritonseg.DeadlineExceededError):
            sender.segment(encode(photo), timeout_s=1.0)
        assert 0.9 < time.monotonic() - begin_s < 1.25
        assert sent_tensors(triton) == ["ENCODED_IMAGE", "IMAGE"]

    @pytest.mark.parametrize("status", ["INTERNAL", "UNKNOWN", "NOT_FOUND", "RESOURCE_EXHAUSTED"])
    def test_other_failures_are_final(self, sender, triton, photo, status):
        triton.fail(grpc.StatusCode[status], "")
        with pytest.raises(tritonseg.SegmentationError):
            sender.segment(encode(photo))
        assert sent_tensors(triton) == ["ENCODED_IMAGE"]

    def test_overload_is_retried_with_the_file(self, sender, triton, photo):
        triton.fail(grpc.StatusCode.UNAVAILABLE, "queue full", times=2)
        sender.segment(encode(photo))
        assert sent_tensors(triton) == ["ENCODED_IMAGE"] * 3
