"""A picture through a build as its trainer would resize it: Pillow, ONNX Runtime, OpenCV, NumPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from PIL import Image

from served_map import build_and_segment
from tiny_models import RESIZE, TinyModel, run_onnx, tiny_spec
from tritonseg_engines.running.pictures import smooth_noise
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import FitPad, KeepRatio, Native, ResizePolicy, Size, Stretch
from tritonseg_steps.resampling import Resampling

PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
IMAGE_HWC = smooth_noise((107, 90), 1, cell=6)[0].image_hwc
PADDING = 255


def spec_of(resize: ResizePolicy, resampling: Resampling, input_hw: Size | None) -> ModelSpec:
    height, width = input_hw or (None, None)
    spec = tiny_spec(height=height, width=width, upsampling="export")
    return replace(
        spec,
        preprocessing=replace(
            spec.preprocessing, resize=resize, resampling=resampling, padding=(PADDING,) * 3
        ),
    )


def by_hand(
    model: onnx.ModelProto, content_hw: Size, network_hw: Size, corner: Size, how: Resampling
) -> tuple[np.ndarray, np.ndarray]:
    """Resize, pad, run, crop, resize back; the classes, and where they are no near ties."""
    (height, width), (top, left) = content_hw, corner
    picture = Image.fromarray(IMAGE_HWC)
    for size in ((width, len(IMAGE_HWC)), (width, height)):  # rows first
        picture = picture.resize(size, PILLOW[how.interpolation])
    padded = np.full((*network_hw, 3), PADDING, np.float32)
    padded[top : top + height, left : left + width] = picture
    batch = ((padded - 127.5) / 127.5).transpose(2, 0, 1)[None]
    scores = run_onnx(model, batch.astype(np.float32))[0]
    content = scores[:, top : top + height, left : left + width]
    planes = np.stack(
        [cv2.resize(plane, IMAGE_HWC.shape[1::-1]) for plane in np.ascontiguousarray(content)]
    )
    ranked = np.sort(planes, axis=0)
    return planes.argmax(axis=0), ranked[-1] - ranked[-2] > 1e-4 * np.abs(planes).max()


ANTIALIASED = Resampling(antialias=True)
CASES = {
    "stretched by a bicubic filter": (
        Stretch(height=64, width=96), Resampling(interpolation="bicubic", antialias=True),
        (64, 96), (64, 96), (64, 96), (0, 0),
    ),
    "in a letterbox": (
        FitPad(height=64, width=96, rounding="round", align="center"), ANTIALIASED,
        (64, 96), (64, 54), (64, 96), (0, 21),
    ),
    "by its shorter side, truncated": (
        KeepRatio(short_side=60, rounding="truncate", size_divisor=8, align="center"), ANTIALIASED,
        None, (71, 60), (72, 64), (0, 2),
    ),
    "padded on all sides": (
        Native(size_divisor=32, align="center"), Resampling(), None, (107, 90), (128, 96), (10, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("resize", "how", "input_hw", "content_hw", "network_hw", "corner"), CASES.values(), ids=CASES
)
def test_the_mask_is_what_the_trainer_gets(
    resize: ResizePolicy,
    how: Resampling,
    input_hw: Size | None,
    content_hw: Size,
    network_hw: Size,
    corner: Size,
    tmp_path: Path,
) -> None:
    size_hw = input_hw or (None, None)
    model = TinyModel(tail=[RESIZE], size_hw=size_hw).model()
    onnx.save(model, tmp_path / "export.onnx")
    spec = replace(
        spec_of(resize, how, input_hw), output=replace(tiny_spec(upsampling="export").output)
    )
    expected_hw, stable_hw = by_hand(model, content_hw, network_hw, corner, how)
    _, actual_hw = build_and_segment(spec, tmp_path / "export.onnx", IMAGE_HWC, tmp_path)
    assert len(np.unique(expected_hw)) > 2
    np.testing.assert_array_equal(actual_hw[stable_hw], expected_hw[stable_hw])
