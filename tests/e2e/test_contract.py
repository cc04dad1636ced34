"""What the server takes and gives, asked with a plain Triton client: the contract for others."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tritonclient.grpc as triton
from PIL import Image
from tritonclient.utils import InferenceServerException

from demo_model.scenes import draw_scene
from tiny_models import ARGMAX, RESIZE, SIZE_HW, SOFTMAX, TinyModel, run_onnx, tiny_spec
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec
from tritonseg_steps.preprocessing import Normalizer

IMAGE_HWC = draw_scene(7, height=120, width=200).image_hwc
Answer = dict[str, np.ndarray]


def encoded(image_hwc: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image_hwc).save(file, kind)
    return file.getvalue()


class Asker:
    """Sends what no well-behaved client would."""

    def __init__(self, url: str, model: str) -> None:
        self._client = triton.InferenceServerClient(url)
        self._model = model

    def __call__(self, *tensors: triton.InferInput, **options: Any) -> Answer:
        result = self._client.infer(self._model, list(tensors), client_timeout=60, **options)
        return {
            output.name: result.as_numpy(output.name) for output in result.get_response().outputs
        }


def pixels(images_nhwc: np.ndarray) -> triton.InferInput:
    tensor = triton.InferInput("IMAGE", list(images_nhwc.shape), "UINT8")
    tensor.set_data_from_numpy(images_nhwc)
    return tensor


def files(*contents: bytes) -> triton.InferInput:
    tensor = triton.InferInput("ENCODED_IMAGE", [len(contents), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[content] for content in contents], object))
    return tensor


@pytest.fixture(scope="module")
def single_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("single") / "repository"
    build_model(demo_spec(), DEMO_ONNX, repository)
    assert [folder.name for folder in repository.iterdir()] == ["street-demo"]
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        yield server


@pytest.fixture(params=["ensemble", "single"])
def ask(
    request: pytest.FixtureRequest, demo_server: TritonServer, single_server: TritonServer
) -> Asker:
    server = demo_server if request.param == "ensemble" else single_server
    return Asker(server.grpc_url, "street-demo")


@pytest.mark.parametrize("size_hw", [(120, 200), (512, 1024), (33, 301)])
def test_both_layouts_give_the_same(
    size_hw: tuple[int, int], demo_server: TritonServer, single_server: TritonServer
) -> None:
    image_hwc = draw_scene(9, height=size_hw[0], width=size_hw[1]).image_hwc
    parameters = {"confidence": True, "class_pixels": True}
    ensemble, single = (
        Asker(server.grpc_url, "street-demo")(pixels(image_hwc[None]), parameters=parameters)
        for server in (demo_server, single_server)
    )
    assert ensemble.keys() == single.keys()
    for name, expected in ensemble.items():
        assert np.array_equal(single[name], expected), name


def test_requests_that_meet_in_one_process_do_not_mix(single_server: TritonServer) -> None:
    """Some wait for others, so that Triton hands several to the process at once; some are bad."""
    images = [draw_scene(seed, height=60, width=100).image_hwc for seed in range(8)]
    alone = Asker(single_server.grpc_url, "street-demo")
    expected = [alone(pixels(image_hwc[None]))["CLASS_MAP"] for image_hwc in images]

    def send(index: int) -> np.ndarray | str:
        try:
            content = images[index % 8][None]
            tensor = files(b"<html>") if index % 5 == 4 else pixels(content)
            return Asker(single_server.grpc_url, "street-demo")(tensor)["CLASS_MAP"]
        except InferenceServerException as error:
            return str(error)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(send, range(24)))
    for index, answer in enumerate(answers):
        if index % 5 == 4:
            assert "ENCODED_IMAGE: expected a file" in str(answer)
        else:
            assert np.array_equal(answer, expected[index % 8]), index


def test_a_file_gives_the_map_of_its_pixels(ask: Asker) -> None:
    answer = ask(files(encoded(IMAGE_HWC)))
    assert set(answer) == {"CLASS_MAP", "MODEL_DIGEST"}
    assert np.array_equal(answer["CLASS_MAP"], ask(pixels(IMAGE_HWC[None]))["CLASS_MAP"])


def test_files_of_one_size_make_a_batch(ask: Asker) -> None:
    mirrored = np.ascontiguousarray(IMAGE_HWC[:, ::-1])
    answer = ask(files(encoded(IMAGE_HWC), encoded(mirrored, "WEBP")))["CLASS_MAP"]
    assert answer.shape == (2, 120, 200)
    assert np.array_equal(answer[:1], ask(pixels(IMAGE_HWC[None]))["CLASS_MAP"])


def test_what_was_asked_for_comes_and_nothing_else(ask: Asker) -> None:
    plain = ask(pixels(IMAGE_HWC[None]))
    everything = ask(pixels(IMAGE_HWC[None]), parameters={"confidence": True, "class_pixels": True})
    assert set(plain) == {"CLASS_MAP", "MODEL_DIGEST"}
    assert set(everything) == {"CLASS_MAP", "CONFIDENCE", "CLASS_PIXELS", "MODEL_DIGEST"}
    assert np.array_equal(everything["CLASS_MAP"], plain["CLASS_MAP"])
    counts = np.bincount(plain["CLASS_MAP"].ravel(), minlength=19)
    assert np.array_equal(everything["CLASS_PIXELS"], counts[None])
    only_counts = ask(
        pixels(IMAGE_HWC[None]),
        parameters={"class_pixels": True},
        outputs=[triton.InferRequestedOutput("CLASS_PIXELS")],
    )
    assert set(only_counts) == {"CLASS_PIXELS"}


def test_confidence_is_the_softmax_of_what_onnx_runtime_leads_to(ask: Asker) -> None:
    """At the network's own size, so that torch's upsampling has nothing else to undo."""
    torch = pytest.importorskip("torch")
    image_hwc = draw_scene(8, height=512, width=1024).image_hwc
    session = onnxruntime.InferenceSession(DEMO_ONNX, providers=["CPUExecutionProvider"])
    batch = Normalizer(demo_spec().preprocessing).batch(image_hwc[None])
    scores = torch.from_numpy(session.run(None, {"image": batch})[0])
    resized = torch.nn.functional.interpolate(scores, image_hwc.shape[:2], mode="bilinear")
    expected = 255 * resized.softmax(dim=1).amax(dim=1).numpy()
    answer = ask(pixels(image_hwc[None]), parameters={"confidence": True})
    assert np.abs(answer["CONFIDENCE"] - expected).max() <= 1


@pytest.mark.parametrize(
    ("tensors", "options", "message"),
    [
        (
            [pixels(IMAGE_HWC[None]), files(encoded(IMAGE_HWC))],
            {},
            "expected either IMAGE or ENCODED_IMAGE, got both",
        ),
        ([files(b"<html>")], {}, "ENCODED_IMAGE: expected a file in one of the formats"),
        ([files(encoded(IMAGE_HWC)[:900])], {}, "ENCODED_IMAGE: .* cut off or corrupt"),
        (
            [files(encoded(IMAGE_HWC), encoded(IMAGE_HWC[:60]))],
            {},
            "pictures of one size in a request, got 120x200, 60x200",
        ),
        (
            [pixels(IMAGE_HWC[None])],
            {"parameters": {"confidence": "yes"}},
            "'confidence': expected true or false, got 'yes'",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(
    ask: Asker, tensors: list[triton.InferInput], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InferenceServerException, match=message) as caught:
        ask(*tensors, **options)
    assert "INVALID_ARGUMENT" in str(caught.value.status())
    assert "Traceback" not in str(caught.value)


def test_a_network_without_scores_has_no_confidence(tmp_path: Path) -> None:
    """Its own argmax leaves nothing to be sure by."""
    path = tmp_path / "argmax.onnx"
    onnx.save(TinyModel(tail=[RESIZE, ARGMAX]).model(), path)
    spec = tiny_spec(kind="class_map", upsampling="export")
    build_model(spec, path, tmp_path / "repository")
    with TritonServer(ServerConfig(repositories=(tmp_path / "repository",))) as server:
        ask = Asker(server.grpc_url, "tiny")
        image_nhwc = np.zeros((1, *SIZE_HW, 3), np.uint8)
        answer = ask(pixels(image_nhwc), parameters={"class_pixels": True})
        assert answer["CLASS_PIXELS"].sum() == SIZE_HW[0] * SIZE_HW[1]
        with pytest.raises(
            InferenceServerException, match="gives classes, or scores with a threshold"
        ):
            ask(pixels(image_nhwc), parameters={"confidence": True})


@pytest.mark.parametrize("kind", ["scores", "binary"])
def test_a_probability_is_its_own_confidence(kind: str, tmp_path: Path) -> None:
    """As the export gives it, interpolated, at the class that it gives the pixel."""
    torch = pytest.importorskip("torch")
    binary = kind == "binary"
    tail = ("Sigmoid", {}) if binary else SOFTMAX
    model = TinyModel(tail=[tail], classes=1 if binary else 5).model()
    onnx.save(model, tmp_path / "export.onnx")
    spec = tiny_spec(kind=kind, classes=2 if binary else 5)
    build_model(spec, tmp_path / "export.onnx", tmp_path / "repository")
    image_hwc = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3)).astype(np.uint8)
    batch = Normalizer(spec.preprocessing).batch(image_hwc[None])
    probabilities = torch.from_numpy(run_onnx(model, batch))
    if binary:
        probabilities = torch.cat([1 - probabilities, probabilities], dim=1)
    resized = torch.nn.functional.interpolate(probabilities, SIZE_HW, mode="bilinear").numpy()
    with TritonServer(ServerConfig(repositories=(tmp_path / "repository",))) as server:
        answer = Asker(server.grpc_url, "tiny")(
            pixels(image_hwc[None]), parameters={"confidence": True}
        )
    assert (answer["CLASS_MAP"] == resized.argmax(axis=1)).mean() >= 0.9999
    assert np.abs(answer["CONFIDENCE"] - 255 * resized.max(axis=1)).max() <= 1
