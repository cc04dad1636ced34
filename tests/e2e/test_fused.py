"""Both layouts of the demo model in one real Triton: the same masks, in every precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from PIL import Image
from tritonclient.utils import InferenceServerException

from demo_model.scenes import draw_scene
from tritonseg import RequestRejectedError, ResizePolicy, SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.running.networks import infer_in_openvino
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.serving.latency import LatencyProbe
from tritonseg_engines.spec import InputSpec
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec
from tritonseg_steps.preprocessing import Normalizer
from tritonseg_steps.resize_policy import FitPad, Native
from tritonseg_steps.upsampling import class_map_from_scores

pytestmark = pytest.mark.int8_cpu
SIZE_HW = (128, 256)
"""A sixteenth of the demo's own, so that every precision is built in seconds."""
PRECISIONS = ("fp32", "fp16", "int8")
SEEDS = range(100, 104)


def small_export(folder: Path) -> Path:
    """The demo network at `SIZE_HW`; its sizes follow from the input's."""
    model = onnx.load(DEMO_ONNX)
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], SIZE_HW, strict=True):
        dim.dim_value = size
    onnx.save(model, folder / "small.onnx")
    return folder / "small.onnx"


def drawn(folder: Path, count: int, first_seed: int) -> Path:
    folder.mkdir()
    for seed in range(first_seed, first_seed + count):
        Image.fromarray(street(seed)).save(folder / f"{seed}.png")
    return folder


def street(seed: int) -> np.ndarray:
    return draw_scene(seed, height=SIZE_HW[0], width=SIZE_HW[1]).image_hwc


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fused")
    export = small_export(folder)
    options = BuildOptions(
        calibration=drawn(folder / "calibration", 8, 1),
        pictures=drawn(folder / "pictures", 2, 50),
        minimum_pictures=8,
        keep_fp32=("/conv1/Conv", "/conv2/Conv", "/last_layer/*"),  # costly in int8
    )
    for precision in PRECISIONS:
        for layout in ("ensemble", "fused"):
            resize = FitPad(height=SIZE_HW[0], width=SIZE_HW[1])
            spec = replace(
                demo_spec(),
                name=f"{layout}-{precision}",
                input=InputSpec(name="image", height=SIZE_HW[0], width=SIZE_HW[1]),
                preprocessing=replace(demo_spec().preprocessing, resize=resize),
            )
            report = build_model(
                spec,
                export,
                folder / "repository",
                precision=precision,
                layout=layout,
                options=options,
            )
            assert layout == "ensemble" or report.equal_pixels_after_fuse >= 0.9999
    return folder / "repository"


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[TritonServer]:
    with TritonServer(ServerConfig(repositories=(repository,), ready_timeout_s=180)) as server:
        yield server


def equal_after_rounding_otherwise(repository: Path) -> float:
    """Share of the pixels that keep their class when the network's input is rounded otherwise.

    The fused graph multiplies and adds where the normalize step reads a table. The two differ by a
    rounding of the product, which is larger than one of a result near 0, and for a grey value that
    lies between two steps of int8 that decides which of them it becomes.
    """
    preprocessing = replace(demo_spec().preprocessing, resize=Native())
    normalizer, geometry = Normalizer(preprocessing), Native().geometry(SIZE_HW)
    model = onnx.load(repository / "ensemble-int8_engine" / "1" / "model.onnx")
    equal = []
    with infer_in_openvino(model, "int8") as infer:
        for seed in SEEDS:
            batch = normalizer.batch(street(seed)[None])
            rounding = np.spacing(np.abs(batch).max())
            maps = [
                class_map_from_scores(infer(batch + shift)[0].copy(), geometry)
                for shift in (np.float32(0), rounding, -rounding)
            ]
            equal += [(maps[0] == other).mean() for other in maps[1:]]
    return float(np.mean(equal))


def test_both_layouts_give_the_same_masks(server: TritonServer, repository: Path) -> None:
    """In int8 as far as roundings of the input allow: twice what they move, on few pictures."""
    bounds = dict.fromkeys(PRECISIONS, 0.9999)
    bounds["int8"] = min(0.9999, 1 - 2 * (1 - equal_after_rounding_otherwise(repository)))
    assert bounds["int8"] > 0.99, bounds
    masks = {}
    for precision in PRECISIONS:
        for layout in ("ensemble", "fused"):
            with SegmentationClient(server.grpc_url, model=f"{layout}-{precision}") as client:
                masks[layout] = [client.segment(street(seed)).class_map for seed in SEEDS]
        equal = np.stack(masks["fused"]) == np.stack(masks["ensemble"])
        assert len(np.unique(masks["ensemble"])) > 5
        assert equal.mean() >= bounds[precision], (precision, bounds)


def test_the_model_describes_itself_as_the_ensemble_does(server: TritonServer) -> None:
    """But for what it cannot: decode files, say how sure it is, and resize pictures."""
    models = []
    for name in ("ensemble-fp16", "fused-fp16"):
        with SegmentationClient(server.grpc_url, model=name) as client:
            models.append(client.model)
    ensemble, fused = models
    assert (ensemble.takes_files, ensemble.gives_confidence) == (True, True)
    assert ensemble.preprocessing is not None
    assert ensemble.preprocessing.resize.policy == "fit_pad"
    untouched = replace(ensemble.preprocessing, resize=ResizePolicy(policy="native"))
    assert fused.digest != ensemble.digest  # as of any two that publish something else
    assert fused.engine_sha256 != ensemble.engine_sha256  # the steps are in the graph
    assert fused == replace(
        ensemble,
        name="fused-fp16",
        digest=fused.digest,
        engine_sha256=fused.engine_sha256,
        takes_files=False,
        gives_confidence=False,
        preprocessing=untouched,
    )


def test_a_picture_of_another_size_is_refused_with_both_sizes(server: TritonServer) -> None:
    with (
        SegmentationClient(server.grpc_url, model="fused-fp32") as client,
        pytest.raises(RequestRejectedError, match=r"\[-1,128,256,3\], got \[1,100,256,3\]"),
    ):
        client.segment(street(1)[:100])


def test_a_batch_in_one_request_is_what_its_pictures_are_alone(server: TritonServer) -> None:
    batch_nhwc = np.stack([street(seed) for seed in SEEDS])
    image = triton.InferInput("IMAGE", list(batch_nhwc.shape), "UINT8")
    image.set_data_from_numpy(batch_nhwc)
    with triton.InferenceServerClient(server.grpc_url) as raw:
        together = raw.infer("fused-fp32", [image]).as_numpy("CLASS_MAP")
    with SegmentationClient(server.grpc_url, model="fused-fp32") as client:
        alone = np.stack([client.segment(picture).class_map for picture in batch_nhwc])
    assert together.shape == (len(SEEDS), *SIZE_HW)
    assert (together == alone).mean() >= 0.9999


@pytest.mark.parametrize("name", ["ENCODED_IMAGE", "CONFIDENCE"])
def test_what_a_fused_model_has_not_is_named(name: str, server: TritonServer) -> None:
    picture = street(1)[None]
    image = triton.InferInput("IMAGE", list(picture.shape), "UINT8")
    image.set_data_from_numpy(picture)
    encoded = triton.InferInput("ENCODED_IMAGE", [1, 1], "BYTES")
    encoded.set_data_from_numpy(np.array([[b"a file"]], object))
    inputs = [encoded] if name == "ENCODED_IMAGE" else [image]
    outputs = [triton.InferRequestedOutput("CONFIDENCE")] if name == "CONFIDENCE" else None
    with (
        triton.InferenceServerClient(server.grpc_url) as raw,
        pytest.raises(InferenceServerException, match=name),
    ):
        raw.infer("fused-fp32", inputs, outputs=outputs)


def test_latency_is_counted_for_the_one_model(server: TritonServer) -> None:
    probe = LatencyProbe(server.grpc_url, "fused-fp32")
    with SegmentationClient(server.grpc_url, model="fused-fp32") as client:
        for seed in SEEDS:
            client.segment(street(seed))
    (fused,) = probe.latencies()
    assert (fused.model, fused.requests) == ("fused-fp32", len(SEEDS))
    assert 0 < fused.infer_ms <= fused.total_ms
