"""Each of the six models: export, build, a real Triton, the client; the mask is ONNX Runtime's.

Small sizes, because CI has two cores. `make zoo-check` runs the sizes of the cards, once.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="exporting the networks needs torch")

from demo_model.scenes import draw_scene  # noqa: E402
from gpu_check.lively_weights import enliven  # noqa: E402
from tritonseg import SegmentationClient  # noqa: E402
from tritonseg_engines import zoo  # noqa: E402
from tritonseg_engines.build.model import build_model  # noqa: E402
from tritonseg_engines.serving import ServerConfig, TritonServer  # noqa: E402
from tritonseg_engines.spec import ModelSpec  # noqa: E402
from tritonseg_engines.zoo.export import export_onnx  # noqa: E402
from tritonseg_steps.resize_policy import FitPad  # noqa: E402

CARD_SIZES = os.environ.get("TRITONSEG_CARD_SIZES") == "1"
SMALL_SIZES = {"fastseg-small": (416, 448), "pspnet-pytorch": (128, 128)}
SMALL_SIZE = (96, 160)


def spec_at_size(model: str) -> ModelSpec:
    """The published specification, or the same at a size that two cores bear."""
    spec = zoo.get_spec(model)
    if CARD_SIZES:
        return spec
    height, width = SMALL_SIZES.get(model, SMALL_SIZE)
    preprocessing = spec.preprocessing
    if isinstance(preprocessing.resize, FitPad):
        preprocessing = replace(preprocessing, resize=FitPad(height=height, width=width))
    size = replace(spec.input, height=height, width=width)
    return replace(spec, input=size, preprocessing=preprocessing)


def picture_for(spec: ModelSpec) -> np.ndarray:
    """Of the input's size, but twice as wide where the model pads: half of its cells remain."""
    height, width = spec.input.size_hw or (0, 0)
    if isinstance(spec.preprocessing.resize, FitPad):
        width = width * 2
    return draw_scene(12, height=height, width=width).image_hwc


def mask_by_onnx_runtime(onnx: Path, spec: ModelSpec, image_hwc: np.ndarray) -> np.ndarray:
    """By OpenCV, NumPy, ONNX Runtime and torch: nothing of what the server runs."""
    height, width = image_hwc.shape[:2]
    network_h, network_w = spec.input.size_hw or (0, 0)
    scale = min(network_h / height, network_w / width)
    content_h, content_w = int(height * scale), int(width * scale)
    resized = image_hwc
    if (content_h, content_w) != (height, width):
        resized = cv2.resize(image_hwc, (content_w, content_h), interpolation=cv2.INTER_LINEAR)
    normalised = (resized - np.array(spec.preprocessing.mean)) / np.array(spec.preprocessing.scale)
    batch = np.zeros((1, 3, network_h, network_w), np.float32)
    batch[0, :, :content_h, :content_w] = normalised.transpose(2, 0, 1)
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {spec.input.name: batch})
    rows = -(-content_h * scores.shape[2] // network_h)
    columns = -(-content_w * scores.shape[3] // network_w)
    upsampled = torch.nn.functional.interpolate(
        torch.from_numpy(scores[:, :, :rows, :columns]),
        size=(height, width),
        mode="bilinear",
        align_corners=False,
    )
    return upsampled[0].argmax(0).numpy()


@pytest.mark.parametrize("model", zoo.ZOO_SPECS)
def test_served_mask_is_the_networks(model: str, tmp_path: Path) -> None:
    spec = spec_at_size(model)
    onnx = tmp_path / "model.onnx"
    network = enliven(zoo.build_network(model), model)
    export_onnx(network, onnx, size_hw=spec.input.size_hw, output_name=spec.output.name)
    del network
    build_model(spec, onnx, tmp_path / "repository")
    image_hwc = picture_for(spec)
    config = ServerConfig(repositories=(tmp_path / "repository",), ready_timeout_s=300)
    with (
        TritonServer(config) as server,
        SegmentationClient(server.grpc_url, model=model, timeout_s=300) as client,
    ):
        started = time.perf_counter()
        class_map = client.segment(image_hwc).class_map
        elapsed_s = time.perf_counter() - started
    expected = mask_by_onnx_runtime(onnx, spec, image_hwc)
    equal = float((class_map == expected).mean())
    classes = len(np.unique(expected))
    print(f"{model} {spec.input.size_hw}: equal {equal:.6%}, {classes} classes, {elapsed_s:.2f} s")  # noqa: T201
    assert classes > 1
    assert equal >= 0.9999
