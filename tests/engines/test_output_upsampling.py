"""A picture of another size than the network's: both ways to upsample, each against torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F

from served_map import build_and_segment
from tiny_models import ARGMAX, RESIZE, SIZE_HW, Operator, TinyModel, run_onnx, tiny_spec
from tritonseg_engines.errors import SpecificationError
from tritonseg_engines.spec_yaml import spec_from_document
from tritonseg_steps.resize_policy import FitPad, ResizePolicy, Stretch

IMAGE_HW = (101, 75)
POLICIES = {
    policy.policy: policy(height=SIZE_HW[0], width=SIZE_HW[1]) for policy in (Stretch, FitPad)
}


def picture() -> np.ndarray:
    coarse = np.random.default_rng(3).normal(128, 70, (13, 10, 3))
    return cv2.resize(coarse, IMAGE_HW[::-1]).clip(0, 255).astype(np.uint8)


def network_input(image_hwc: np.ndarray, policy: ResizePolicy) -> np.ndarray:
    height, width = policy.geometry(IMAGE_HW).content_hw
    batch = np.zeros((1, 3, *SIZE_HW), np.float32)
    resized = cv2.resize(image_hwc, (width, height), interpolation=cv2.INTER_LINEAR)
    batch[0, :, :height, :width] = ((resized.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)
    return batch


def resized(scores: np.ndarray, mode: str) -> np.ndarray:
    options = {"align_corners": False} if mode == "bilinear" else {}
    return F.interpolate(torch.from_numpy(scores), size=IMAGE_HW, mode=mode, **options).numpy()


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("tail", [[RESIZE], [RESIZE, ARGMAX]], ids=["scores", "classes"])
def test_the_export_s_own_output_is_resized(
    policy: ResizePolicy, tail: list[Operator], tmp_path: Path
) -> None:
    """`export`: what upstream's own script does with its output, cropped before it is resized."""
    model, image_hwc = TinyModel(tail=tail), picture()
    output = run_onnx(model.model(), network_input(image_hwc, policy))
    height, width = policy.geometry(IMAGE_HW).content_hw
    if output.ndim == 4:
        expected = resized(output[:, :, :height, :width], "bilinear").argmax(axis=1)[0]
    else:
        cropped = output[None, :, :height, :width].astype(np.float32)
        expected = resized(cropped, "nearest-exact")[0, 0]
    report, actual = segment(model, policy, "export", image_hwc, tmp_path)
    assert (actual == expected).mean() >= 0.9999
    assert report.proof.other_size.unlike_export == 0
    assert report.tail.operators == ()


@pytest.mark.parametrize("tail", [[RESIZE], [RESIZE, ARGMAX]], ids=["scores", "classes"])
def test_scores_are_interpolated_once(tail: list[Operator], tmp_path: Path) -> None:
    """`direct`: the way of Hugging Face's post-processing, straight to the picture."""
    image_hwc, policy = picture(), POLICIES["stretch"]
    scores = run_onnx(TinyModel().model(), network_input(image_hwc, policy))
    expected = resized(scores, "bilinear").argmax(axis=1)[0]
    report, actual = segment(TinyModel(tail=tail), policy, "direct", image_hwc, tmp_path)
    assert (actual == expected).mean() >= 0.9999
    assert 0 < report.proof.other_size.unlike_export < 0.4  # untrained: a class in every pixel


def test_nothing_to_choose_where_every_picture_is_the_network_s_size(tmp_path: Path) -> None:
    spec = tiny_spec()
    onnx.save(TinyModel(tail=[RESIZE]).model(), tmp_path / "export.onnx")
    image_hwc = cv2.resize(picture(), SIZE_HW[::-1])
    report, _ = build_and_segment(spec, tmp_path / "export.onnx", image_hwc, tmp_path)
    assert report.proof.other_size is None
    assert report.pictures.startswith("takes pictures of 64x96 only, a size that is fixed")


def test_another_word_is_refused() -> None:
    document = {
        "name": "tiny",
        "input": {"name": "image"},
        "mean": [0, 0, 0],
        "scale": [1, 1, 1],
        "output": {"name": "output", "upsampling": "twice"},
        "classes": 2,
    }
    with pytest.raises(SpecificationError, match=r"output.upsampling: expected one of \['direct'"):
        spec_from_document(document)


def segment(
    model: TinyModel, policy: ResizePolicy, upsampling: str, image_hwc: np.ndarray, folder: Path
) -> tuple[object, np.ndarray]:
    spec = tiny_spec(upsampling=upsampling)
    spec = replace(spec, preprocessing=replace(spec.preprocessing, resize=policy))
    onnx.save(model.model(), folder / "export.onnx")
    return build_and_segment(spec, folder / "export.onnx", image_hwc, folder)
