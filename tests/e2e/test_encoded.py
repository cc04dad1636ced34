"""Files and confidence through the client and a real server."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tritonclient.grpc as triton
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image
from tritonclient.utils import InferenceServerException

from demo_model.scenes import draw_scene
from tiny_models import ARGMAX, RESIZE, SIZE_HW, TinyModel, tiny_spec
from tritonseg import (
    ConfigurationError,
    ImageDecodeError,
    ImageTooLargeError,
    RequestRejectedError,
    SegmentationClient,
)
from tritonseg._pictures.picture import EncodedImage
from tritonseg_engines.build.model import build_model
from tritonseg_engines.cli.app import cli
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec
from tritonseg_steps.preprocessing import Normalizer

IMAGE_HWC = draw_scene(11, height=150, width=260).image_hwc
FORMATS = ("JPEG", "PNG", "WEBP")


@pytest.fixture(scope="module")
def sender(demo_server: TritonServer) -> Iterator[SegmentationClient]:
    url = demo_server.grpc_url
    with SegmentationClient(url, model="street-demo", transport="encoded") as client:
        yield client


def encode(image: Image.Image, kind: str, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_file_gives_the_map_of_its_pixels(
    client: SegmentationClient,
    sender: SegmentationClient,
    kind: str,
    mode: str,
    orientation: int,
) -> None:
    encoded = encode(Image.fromarray(IMAGE_HWC).convert(mode), kind, orientation)
    there, here = sender.segment(encoded), client.segment(encoded)
    assert isinstance(there.picture, EncodedImage)  # it was not decoded here, nor sent as pixels
    assert not isinstance(here.picture, EncodedImage)
    assert np.array_equal(there.class_map, here.class_map)
    assert there.class_map.shape == ((260, 150) if orientation == 6 else (150, 260))
    assert there.stored_size == here.stored_size == (150, 260)
    assert there.overlay() == here.overlay()


@pytest.mark.parametrize("mode", ["1", "P"])
def test_indexed_pngs_too(
    client: SegmentationClient, sender: SegmentationClient, mode: str
) -> None:
    encoded = encode(Image.fromarray(IMAGE_HWC).convert(mode), "PNG")
    there = sender.segment(encoded)
    assert isinstance(there.picture, EncodedImage)
    assert np.array_equal(there.class_map, client.segment(encoded).class_map)


def test_what_the_server_does_not_decode_goes_as_pixels(
    client: SegmentationClient, sender: SegmentationClient
) -> None:
    transparent = Image.fromarray(IMAGE_HWC)
    transparent.putalpha(Image.fromarray(IMAGE_HWC[..., 1]))
    files = [encode(transparent, "PNG"), encode(Image.fromarray(IMAGE_HWC), "TIFF")]
    for source in (*files, IMAGE_HWC, transparent):
        there = sender.segment(source)
        assert not isinstance(there.picture, EncodedImage)
        assert np.array_equal(there.class_map, client.segment(source).class_map)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_broken_file_is_the_same_error_by_both_ways(
    client: SegmentationClient, sender: SegmentationClient, tmp_path: Path, kind: str
) -> None:
    encoded = encode(Image.fromarray(IMAGE_HWC), kind)
    path = tmp_path / "street"
    path.write_bytes(encoded[: len(encoded) // 2])
    for segmenter in (sender, client):
        with pytest.raises(ImageDecodeError, match="street"):
            segmenter.segment(path)


def test_a_picture_of_36_megapixels_is_refused_by_client_and_server_alike(
    sender: SegmentationClient, demo_server: TritonServer
) -> None:
    side = 6000
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(side * (side // 8 + 1)), 9)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    with pytest.raises(ImageTooLargeError, match="6000×6000 = 36000000 pixels"):
        sender.segment(png)
    raw = triton.InferenceServerClient(demo_server.grpc_url)
    tensor = triton.InferInput("ENCODED_IMAGE", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[png]], object))
    with pytest.raises(InferenceServerException, match="1 to 32000000 pixels, got 6000x6000"):
        raw.infer("street-demo", [tensor])
    raw.close()


def test_the_command_sends_files_too(
    client: SegmentationClient, demo_server: TritonServer, tmp_path: Path
) -> None:
    path = tmp_path / "street.jpg"
    path.write_bytes(encode(Image.fromarray(IMAGE_HWC), "JPEG"))
    arguments = ["segment", str(path), "--model", "street-demo", "--url", demo_server.grpc_url]
    arguments += ["--transport", "encoded", "-o", str(tmp_path)]
    outcome = CliRunner().invoke(cli, arguments)
    assert outcome.exit_code == 0, outcome.output
    with Image.open(tmp_path / "street.png") as class_map:
        assert np.array_equal(np.asarray(class_map), client.segment(path).class_map)


def bilinear_weights(length: int, source_length: int) -> NDArray[np.float64]:
    """Return (length, source_length) weights of linear interpolation between pixel centres."""
    positions = (np.arange(length) + 0.5) * source_length / length - 0.5
    positions = positions.clip(0, source_length - 1)
    return np.maximum(0.0, 1.0 - np.abs(positions[:, None] - np.arange(source_length)))


def test_confidence_is_the_softmax_of_the_interpolated_scores(
    client: SegmentationClient, sender: SegmentationClient
) -> None:
    """At the network's own size, where nothing was resized on the way in."""
    image_hwc = draw_scene(12, height=512, width=1024).image_hwc
    session = onnxruntime.InferenceSession(DEMO_ONNX, providers=["CPUExecutionProvider"])
    batch = Normalizer(demo_spec().preprocessing).batch(image_hwc[None])
    (scores_chw,) = session.run(None, {"image": batch})[0]
    _, height, width = scores_chw.shape
    rows, columns = bilinear_weights(512, height), bilinear_weights(1024, width)
    interpolated = np.einsum("yh,chw,xw->cyx", rows, scores_chw, columns, optimize=True)
    exponentials = np.exp(interpolated - interpolated.max(axis=0))
    expected = 255 * exponentials.max(axis=0) / exponentials.sum(axis=0)
    assert expected.min() < 200  # not certain everywhere, so that there is something to compare
    for result in (
        client.segment(image_hwc, confidence=True),
        sender.segment(encode(Image.fromarray(image_hwc), "PNG"), confidence=True),
    ):
        assert result.confidence is not None
        assert np.abs(result.confidence - expected).max() <= 1
        assert np.array_equal(result.class_map, client.segment(image_hwc).class_map)
    assert client.model.takes_files
    assert client.model.gives_confidence


def test_a_network_of_a_fixed_size_that_gives_classes(tmp_path: Path) -> None:
    """What it refuses of a file, it refuses of its pixels; and it is sure of nothing."""
    onnx.save(TinyModel(tail=[RESIZE, ARGMAX]).model(), tmp_path / "tiny.onnx")
    repository = tmp_path / "repository"
    spec = tiny_spec(kind="class_map", upsampling="export")
    build_model(spec, tmp_path / "tiny.onnx", repository)
    height, width = SIZE_HW
    with (
        TritonServer(ServerConfig(repositories=(repository,))) as server,
        SegmentationClient(server.grpc_url, model="tiny", transport="encoded") as client,
    ):
        fitting = encode(Image.new("RGB", (width, height)), "PNG")
        assert client.segment(fitting).class_map.shape == SIZE_HW
        with pytest.raises(RequestRejectedError, match=r"64x96 .* only, got 70x100"):
            client.segment(encode(Image.new("RGB", (100, 70)), "PNG"))
        assert not client.model.gives_confidence
        with pytest.raises(ConfigurationError, match="gives no confidence"):
            client.segment(fitting, confidence=True)
