"""Real photographs, trained weights, a real Triton: the mask served is upstream's.

The photographs and weights are in the shared folder, which does not ship.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from tritonseg import Segmentation, SegmentationClient
from tritonseg_engines import zoo
from tritonseg_engines.build.model import build_model
from tritonseg_engines.gate.metrics import ConfusionMatrix
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.spec import InputSpec, ModelSpec, voc_palette

pytest.importorskip("torch", reason="exporting the trained weights needs torch")

CLASSES = (
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
)
UNLABELLED = 11
UPSTREAM_MEAN_IOU = 0.560688
UPSTREAM_PIXEL_ACCURACY = 0.846949
SIZE_HW = (360, 480)


@dataclass(frozen=True)
class Served:
    onnx: Path
    photographs: list[Path]
    results: list[Segmentation]


def camvid_spec() -> ModelSpec:
    spec = zoo.get_spec("hrnetv2-w18-small-v1-cityscapes")
    return replace(
        spec,
        name="camvid",
        input=InputSpec(name="image", height=SIZE_HW[0], width=SIZE_HW[1]),
        classes=CLASSES,
        palette=voc_palette(len(CLASSES)),
        ignore_index=UNLABELLED,
    )


@pytest.fixture(scope="module")
def served(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Served:
    from tritonseg_engines.checkpoints import load_checkpoint
    from tritonseg_engines.zoo.export import export_onnx

    folder = tmp_path_factory.mktemp("camvid")
    weights = shared / "data" / "weights" / "hrnetv2_w18_small_v1_camvid11.pth"
    network = load_checkpoint("hrnetv2-w18-small-v1-cityscapes", weights, len(CLASSES))
    onnx = folder / "camvid.onnx"
    export_onnx(network, onnx, size_hw=SIZE_HW)
    build_model(camvid_spec(), onnx, folder / "repository")
    photographs = sorted((shared / "data" / "camvid" / "test").glob("*.png"))
    with (
        TritonServer(ServerConfig(repositories=(folder / "repository",))) as server,
        SegmentationClient(server.grpc_url, model="camvid") as client,
    ):
        results = [client.segment(path) for path in photographs]
    return Served(onnx=onnx, photographs=photographs, results=results)


def test_mean_iou_is_the_one_upstream_gets(served: Served) -> None:
    matrix = ConfusionMatrix(len(CLASSES), ignore_index=UNLABELLED)
    for path, result in zip(served.photographs, served.results, strict=True):
        labels = np.asarray(Image.open(path.parent.parent / "test_labels" / path.name))
        matrix.add(labels, result.class_map)
    assert len(served.photographs) == 40
    print(f"mIoU {matrix.mean_iou:.6f}, upstream {UPSTREAM_MEAN_IOU}")  # noqa: T201
    assert matrix.mean_iou == pytest.approx(UPSTREAM_MEAN_IOU, abs=0.002)
    assert matrix.pixel_accuracy == pytest.approx(UPSTREAM_PIXEL_ACCURACY, abs=0.002)


def test_pixels_equal_upsampled_argmax_of_onnx_runtime(served: Served) -> None:
    """Same file, another runtime, the upsampling of torch, which upstream evaluates with."""
    import torch
    import torch.nn.functional as F

    session = onnxruntime.InferenceSession(served.onnx, providers=["CPUExecutionProvider"])
    equal = []
    for path, result in zip(served.photographs, served.results, strict=True):
        pixels = np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
        mean = np.array([0.485, 0.456, 0.406], np.float32)
        std = np.array([0.229, 0.224, 0.225], np.float32)
        batch = ((pixels - mean) / std).transpose(2, 0, 1)[None]
        (scores,) = session.run(None, {"image": batch})
        upsampled = F.interpolate(
            torch.from_numpy(scores), size=SIZE_HW, mode="bilinear", align_corners=False
        )
        equal.append((upsampled[0].argmax(0).numpy() == result.class_map).mean())
    print(f"equal pixels: mean {np.mean(equal):.6%}, worst picture {min(equal):.6%}")  # noqa: T201
    assert np.mean(equal) >= 0.9999
