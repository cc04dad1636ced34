"""No request takes a step down: every one is answered or refused in words, and nothing is left."""

from __future__ import annotations

import io
import json
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from PIL import Image

from hostile_requests import Target
from hostile_server import PICTURE, Watched, picture_file, watched_server
from tiny_models import SIZE_HW

GROWTH_MB = 150
"""Of server and all Python processes in 200 requests. Measured: 31 to 112 in 400 to 7500."""
PIXELS = SIZE_HW[0] * SIZE_HW[1]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched_server(tmp_path_factory.mktemp("hostile"), http_port=0) as watched:
        yield watched


@pytest.fixture(autouse=True)
def nothing_left(watched: Watched) -> Iterator[None]:
    """After each test every model answers as before, in the same processes."""
    answers, stubs = watched.answers(), watched.stub_pids()
    assert len(stubs) == 5
    yield
    assert watched.stub_pids() == stubs
    assert watched.answers() == answers


def refusal(watched: Watched, name: str, **request: object) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        watched.ask(watched.target(name), **request)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    return str(caught.value.details())


@pytest.mark.parametrize(("layout", "count"), [("ensemble", 120), ("single", 50), ("fused", 30)])
def test_every_request_is_answered_or_refused(layout: str, count: int, watched: Watched) -> None:
    before_mb = watched.resident_mb()
    assert watched.problems(layout, count) == []
    assert watched.resident_mb() < before_mb + GROWTH_MB


@pytest.mark.parametrize(
    ("size_hw", "words"),
    [
        ((60_000, 60_000), "expected at most 64000000 pixels a picture, got 60000x60000"),
        ((10_000, 10_000), "expected at most 64000000 pixels a picture, got 10000x10000"),
        ((0, 0), "expected at least 1x1 pixels, got 0x0"),
        ((-5, 10), "expected at least 1x1 pixels, got -5x10"),
        ((1, 2**31 - 1), "at most 64000000 pixels a picture, got 1x2147483647"),
        ((500_001, 1), "expected sides of at most 500000 pixels, got 500001x1"),
        ((46_341, 46_341), "at most 64000000 pixels"),  # whose product is below 0 in 32 bits
    ],
)
def test_a_claim_of_any_size_is_refused(
    size_hw: tuple[int, int], words: str, watched: Watched
) -> None:
    """Beside scores that are valid."""
    before_mb = watched.resident_mb()
    sizes = np.array([size_hw], np.int32)
    got = refusal(watched, "ensemble_argmax", IMAGE_SIZE=sizes)
    assert got.startswith("ensemble_argmax: IMAGE_SIZE: expected")
    assert words in got
    assert watched.resident_mb() < before_mb + 20


def test_random_claims_are_refused(watched: Watched) -> None:
    """As perf_analyzer sends them when it is told nothing."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes = rng.integers(-(2**31), 2**31, (1, 2)).astype(np.int32)
        assert "IMAGE_SIZE: expected" in refusal(watched, "ensemble_argmax", IMAGE_SIZE=sizes)


def test_sizes_and_scores_must_fit_each_other(watched: Watched) -> None:
    scores = watched.target("ensemble_argmax").inputs["SCORES"]
    two = np.concatenate([scores] * 2)
    unequal = np.array([SIZE_HW, (32, 96)], np.int32)
    words = refusal(watched, "ensemble_argmax", SCORES=two, IMAGE_SIZE=unequal)
    assert "IMAGE_SIZE: expected pictures of one size in a request, got 64x96, 32x96" in words
    wide = np.zeros((1, *scores.shape[1:3], 5000), np.float32)
    words = refusal(watched, "ensemble_argmax", SCORES=wide)
    assert "SCORES: expected (5, 1 to 256, 1 to 384)" in words
    assert "got (5, 16, 5000)" in words


def test_more_pixels_than_a_request_may_have(watched: Watched) -> None:
    """Every picture is within the bounds."""
    scores = np.concatenate([watched.target("ensemble_argmax").inputs["SCORES"]] * 8)
    sizes = np.array([(5000, 4000)] * 8, np.int32)
    words = refusal(watched, "ensemble_argmax", SCORES=scores, IMAGE_SIZE=sizes)
    assert "IMAGE_SIZE: expected at most 128000000 pixels" in words
    assert "got 160000000 in 8" in words


def test_files_count_before_they_are_decoded(watched: Watched) -> None:
    """Of 5000x6000 pixels each, in a few kilobytes."""
    file = io.BytesIO()
    Image.new("1", (6000, 5000)).save(file, "PNG")
    files = np.array([[file.getvalue()]] * 8, object)
    with pytest.raises(grpc.RpcError, match="ENCODED_IMAGE: expected at most 128000000 pixels"):
        watched.ask(Target(name="single", inputs={"ENCODED_IMAGE": files}))


@pytest.mark.parametrize("size_hw", [(6000, 6000), (1, 500_000), (500_000, 1)])
def test_a_large_picture_is_answered(size_hw: tuple[int, int], watched: Watched) -> None:
    """As pixels, which the client's limits allow beyond 32 megapixels."""
    image = np.zeros((1, *size_hw, 3), np.uint8)
    answer = watched.ask(watched.target("single"), ["CLASS_MAP"], IMAGE=image)
    assert answer == {"CLASS_MAP": (1, *size_hw)}


@pytest.mark.parametrize("name", ["ensemble", "single", "ensemble_normalize"])
@pytest.mark.parametrize("sides", [(-5, -5), (2**32, 2**32), (0, 2**62), (-(2**63), 4)])
def test_shapes_that_nothing_has(name: str, sides: tuple[int, int], watched: Watched) -> None:
    """Triton multiplies them in 64 bits and finds the bytes that came."""
    request = watched.target(name).good_request()
    request.inputs[0].shape[1:3] = sides
    request.raw_input_contents[0] = bytes(75 if sides == (-5, -5) else 0)
    with pytest.raises(grpc.RpcError, match="IMAGE: expected") as caught:
        watched.stub.ModelInfer(request, timeout=60)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("said", [0, 10, 2**31, 2**32 - 1])
@pytest.mark.parametrize("name", ["ensemble", "single"])
def test_lying_lengths_over_http(name: str, said: int, watched: Watched) -> None:
    content = struct.pack("<I", said) + picture_file()[0, 0]
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "ENCODED_IMAGE", "datatype": "BYTES", "shape": [1, 1],
                    "parameters": {"binary_data_size": len(content)},
                }
            ]
        }
    ).encode()  # fmt: skip
    request = urllib.request.Request(
        f"http://{watched.server.http_url}/v2/models/{name}/infer",
        head + content,
        {"Inference-Header-Content-Length": str(len(head))},
    )
    with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(request):
        pass
    with caught.value as response:
        words = response.read().decode()
    assert response.code == 400
    assert "ENCODED_IMAGE" in words


class TestOutputsByName:
    """CONFIDENCE and CLASS_PIXELS without a parameter."""

    @pytest.mark.parametrize("name", ["single", "ensemble_argmax"])
    def test_naming_one_is_asking_for_it(self, name: str, watched: Watched) -> None:
        target = watched.target(name)
        shapes = {"CONFIDENCE": (1, *SIZE_HW), "CLASS_PIXELS": (1, 5), "CLASS_MAP": (1, *SIZE_HW)}
        for names in (["CONFIDENCE"], ["CLASS_PIXELS"], list(shapes)):
            assert watched.ask(target, names) == {one: shapes[one] for one in names}

    @pytest.mark.parametrize("name", ["single", "ensemble_argmax", "ensemble"])
    def test_no_list_costs_nothing(self, name: str, watched: Watched) -> None:
        assert set(watched.ask(watched.target(name))) == {"CLASS_MAP", "MODEL_DIGEST"}

    @pytest.mark.parametrize("name", ["single", "ensemble_argmax"])
    def test_a_list_of_all_is_no_list_to_triton(self, name: str, watched: Watched) -> None:
        """As docs/serving_defaults.md says; the parameters are heard in every layout."""
        names = ["CLASS_MAP", "CONFIDENCE", "CLASS_PIXELS", "MODEL_DIGEST"]
        target = watched.target(name)
        assert set(watched.ask(target, names)) == {"CLASS_MAP", "MODEL_DIGEST"}
        parameters = {"confidence": True, "class_pixels": True}
        assert set(watched.ask(target, names, parameters)) == set(names)

    def test_an_ensemble_does_not_tell_its_steps(self, watched: Watched) -> None:
        """If this fails, Triton tells them now, and the documents can promise more."""
        target = watched.target("ensemble")
        assert watched.ask(target, ["CONFIDENCE"]) == {}
        asked = watched.ask(target, ["CONFIDENCE"], {"confidence": True})
        assert asked == {"CONFIDENCE": (1, *SIZE_HW)}

    def test_what_contradicts_itself_is_refused(self, watched: Watched) -> None:
        words = refusal(watched, "single", outputs=["CONFIDENCE"], parameters={"confidence": False})
        assert "'confidence': expected true, or none" in words

    def test_what_a_model_has_not_is_refused(self, watched: Watched) -> None:
        assert "'CONFIDENCE'" in refusal(watched, "fused", outputs=["CONFIDENCE"])

    def test_it_is_what_the_parameters_give(self, watched: Watched) -> None:
        def contents(named: bool) -> list[bytes]:
            request = watched.target("single").good_request()
            for name in ("CONFIDENCE", "CLASS_PIXELS"):
                request.outputs.add(name=name)
            for name in () if named else ("confidence", "class_pixels"):
                request.parameters[name].bool_param = True
            return list(watched.stub.ModelInfer(request, timeout=60).raw_output_contents)

        confidence, counts = contents(named=True)
        assert [confidence, counts] == contents(named=False)
        assert np.frombuffer(counts, np.int64).sum() == PIXELS == PICTURE[..., 0].size
        assert len(confidence) == PIXELS
