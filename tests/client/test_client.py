"""What a caller meets, against a loopback Triton."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from PIL import Image

import tritonseg


@pytest.fixture
def expected_map(photo, classes):
    return photo[..., 0] % len(classes)


class TestSegment:
    def test_every_kind_of_source_gives_the_same_class_map(
        self, client, photo, expected_map, tmp_path
    ):
        path = tmp_path / "street.png"
        Image.fromarray(photo).save(path)
        encoded = path.read_bytes()
        sources = [path, str(path), encoded, bytearray(encoded), memoryview(encoded)]
        sources += [Image.fromarray(photo), photo, np.asfortranarray(photo)]
        for source in sources:
            result = client.segment(source)
            np.testing.assert_array_equal(result.class_map, expected_map)
            np.testing.assert_array_equal(result.image_hwc, photo)

    def test_result_names_the_model_and_the_request(self, client, photo, classes, palette):
        result = client.segment(photo, request_id="frame-17")
        assert result.request_id == "frame-17"
        assert result.model_version == "10"
        assert (result.classes, result.palette) == (classes, palette)
        assert result.model is client.model

    def test_request_is_one_uint8_image_and_asks_for_the_class_map_and_who_made_it(
        self, client, triton, photo
    ):
        client.segment(photo, request_id="frame-17")
        (request,) = triton.raw_requests
        assert (request.model_name, request.id) == ("street-demo", "frame-17")
        (image,) = request.inputs
        assert (image.name, image.datatype, list(image.shape)) == ("IMAGE", "UINT8", [1, 6, 8, 3])
        assert list(request.raw_input_contents) == [photo.tobytes()]
        assert [output.name for output in request.outputs] == ["CLASS_MAP", "MODEL_DIGEST"]

    def test_made_up_request_ids_differ(self, client, photo):
        ids = {client.segment(photo).request_id for _ in range(5)}
        assert len(ids) == 5

    def test_turned_photo_is_segmented_as_displayed(self, client, photo):
        exif = Image.Exif()
        exif[0x0112] = 6  # to be displayed turned by 90° clockwise
        buffer = io.BytesIO()
        Image.fromarray(photo).save(buffer, format="PNG", exif=exif)
        result = client.segment(buffer.getvalue())
        turned = np.rot90(photo, k=-1)
        np.testing.assert_array_equal(result.image_hwc, turned)
        np.testing.assert_array_equal(result.class_map, turned[..., 0] % 5)
        assert (result.image_size, result.stored_size) == ((8, 6), (6, 8))

    def test_result_keeps_the_frame_that_was_sent(self, client, photo):
        frame = photo.copy()
        result = client.segment(frame)
        frame[:] = 0
        np.testing.assert_array_equal(result.image_hwc, photo)

    def test_arrays_of_the_result_are_read_only(self, client, photo):
        result = client.segment(photo)
        for array in (result.class_map, result.image_hwc):
            with pytest.raises(ValueError, match="read-only"):
                array[0, 0] = 1

    @pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (37, 3)])
    def test_extreme_sizes(self, client, size):
        image = np.full((*size, 3), 8, np.uint8)
        assert client.segment(image).class_map.shape == size

    def test_bad_picture_is_not_sent(self, client, triton):
        with pytest.raises(tritonseg.ImageDecodeError) as caught:
            client.segment(b"<html>", request_id="frame-17")
        error = caught.value
        assert (error.attempts, error.retryable) == (0, False)
        assert (error.request_id, error.model_name) == ("frame-17", "street-demo")
        assert not triton.calls

    @pytest.mark.parametrize("request_id", ["", "a\nb", "x" * 129, "a b", 7])
    def test_request_ids_unfit_for_logs_are_refused(self, client, photo, request_id):
        with pytest.raises(tritonseg.ConfigurationError, match="request_id"):
            client.segment(photo, request_id=request_id)


class TestModel:
    def test_description(self, client, classes, palette):
        model = client.model
        assert (model.name, model.version) == ("street-demo", "10")
        assert (model.classes, model.palette, model.ignore_index) == (classes, palette, 255)
        assert (model.license, model.source) == ("Apache-2.0", "trained for this test")
        assert (model.precision, model.runtime) == ("fp32", "openvino")
        assert model.onnx_sha256 == "0123456789abcdef" * 4

    def test_is_fetched_on_first_need_and_once_for_all_threads(self, client, triton, photo):
        assert not triton.calls
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: client.segment(photo), range(16)))
        assert client.model is client.model
        assert triton.calls == {"ModelMetadata": 1, "ModelConfig": 1, "ModelInfer": 16}

    def test_failure_is_not_remembered(self, client, triton):
        triton.fail(grpc.StatusCode.INTERNAL, "", times=1, method="ModelConfig")
        with pytest.raises(tritonseg.InferenceFailedError):
            _ = client.model
        assert client.model.version == "10"

    def test_model_that_tritonseg_did_not_build(self, client, triton, photo):
        triton.parameters = {}
        with pytest.raises(tritonseg.ProtocolError, match="tritonseg build"):
            client.segment(photo)
        assert triton.calls["ModelInfer"] == 0

    def test_step_in_place_of_the_ensemble(self, client, triton, photo):
        def edit(response):
            response.outputs[0].name = "SCORES"

        triton.edit_metadata = edit
        with pytest.raises(tritonseg.ProtocolError, match=r"CLASS_MAP.*steps"):
            client.segment(photo)

    def test_waiting_for_another_thread_counts_against_the_deadline(self, connect, triton):
        client = connect(triton.url, timeout_s=3.0)
        triton.delay(1.5, method="ModelMetadata")
        first = threading.Thread(target=lambda: client.model)
        first.start()
        while not triton.calls:
            pass
        begin_s = time.monotonic()
        with pytest.raises(tritonseg.DeadlineExceededError, match=r"0\.2 s"):
            client.segment(np.zeros((2, 2, 3), np.uint8), timeout_s=0.2)
        assert time.monotonic() - begin_s < 0.5
        first.join()
        assert client.model.version == "10"


class TestReadiness:
    def test_ready(self, client, triton):
        assert client.is_ready()
        client.wait_ready(timeout_s=1)
        assert triton.calls == {"ModelReady": 2}

    def test_not_ready(self, client, triton):
        triton.is_ready = False
        assert not client.is_ready()
        with pytest.raises(tritonseg.ModelNotReadyError, match="not ready") as caught:
            client.wait_ready(timeout_s=0.3)
        assert caught.value.model_name == "street-demo"

    def test_unknown_model_is_not_ready(self, triton, connect):
        client = connect(triton.url, model="no-such-model")
        assert not client.is_ready()
        with pytest.raises(tritonseg.ModelNotReadyError):
            client.wait_ready(timeout_s=0.3)

    def test_waits_for_a_model_that_is_loading(self, client, triton):
        triton.fail(grpc.StatusCode.NOT_FOUND, "not yet", times=2, method="ModelReady")
        client.wait_ready(timeout_s=5)
        assert triton.calls["ModelReady"] == 3

    def test_waits_for_a_server_that_is_starting(self, client, triton):
        triton.stop()
        timer = threading.Timer(0.5, triton.start)
        timer.start()
        client.wait_ready(timeout_s=10)
        timer.join()
        assert triton.calls["ModelReady"] == 1

    def test_does_not_wait_for_what_will_not_change(self, client, triton):
        triton.fail(grpc.StatusCode.PERMISSION_DENIED, "no", method="ModelReady")
        with pytest.raises(tritonseg.AccessDeniedError):
            client.wait_ready(timeout_s=30)
        assert triton.calls["ModelReady"] == 1


class TestArguments:
    @pytest.mark.parametrize(
        "name",
        [
            "",
            "../x",
            "a/b",
            "..\\x",
            "%2e%2e",
            "a\0",
            "a\n",
            "x" * 64,
            "ｍodel",
            "-x",
            "$(x)",
            "A",
            1,
        ],
    )
    def test_hostile_model_names(self, name):
        with pytest.raises(tritonseg.ConfigurationError, match="model must match"):
            tritonseg.SegmentationClient("localhost:8001", model=name)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "localhost",
            "localhost:",
            ":8001",
            "localhost:0",
            "localhost:65536",
            "::1:8001",
            "a b:1",
            "host:80/x",
            "host:8001\n",
            "unix:x",
            "unix:/" + "x" * 200,
            "dns:///h",
            "dns:///h:0",
            "file:/x:1",
            7,
            8001,
        ],
    )
    def test_addresses_that_are_none(self, url):
        with pytest.raises(tritonseg.ConfigurationError, match="host:port"):
            tritonseg.SegmentationClient(url, model="m")

    def test_http_address_is_explained(self):
        with pytest.raises(tritonseg.ConfigurationError, match=r"without a scheme.*8001"):
            tritonseg.SegmentationClient("http://localhost:8000", model="m")

    @pytest.mark.parametrize(
        "url",
        [
            "localhost:8001",
            "[::1]:8001",
            "10.0.0.7:1",
            "triton_gpu:99",
            "dns:///triton:8001",
            "dns://8.8.8.8/triton:8001",
            "dns:triton:1",
            "unix:/run/triton.sock",
            "unix:///run/triton.sock",
        ],
    )
    def test_addresses(self, connect, url):
        assert url in repr(connect(url))

    @pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf"), True, "5", 1e9])
    def test_no_call_may_wait_for_ever(self, client, photo, timeout_s):
        calls = [
            lambda: tritonseg.SegmentationClient("h:1", model="m", timeout_s=timeout_s),
            lambda: client.segment(photo, timeout_s=timeout_s),
            lambda: client.is_ready(timeout_s=timeout_s),
            lambda: client.wait_ready(timeout_s=timeout_s),
        ]
        for call in calls:
            with pytest.raises(tritonseg.ConfigurationError, match="timeout_s"):
                call()


class TestThreads:
    def test_answers_are_never_mixed_up(self, client, triton):
        def segment(number: int) -> bool:
            # The red channel spells the number to base 5, and so then does the class map.
            digits = [number // 5**place % 5 for place in range(5)]
            image = np.zeros((3, 5, 3), np.uint8)
            image[..., 0] = digits
            result = client.segment(image, request_id=f"n{number}")
            return result.request_id == f"n{number}" and bool((result.class_map == digits).all())

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(segment, range(8 * 50)))
        assert triton.calls["ModelInfer"] == 8 * 50
