"""A picture through a build as its trainer would resize it: Pillow, ONNX Runtime, OpenCV, NumPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from served_map import build_and_segment
from tiny_models import RESIZE, TinyModel, run_onnx, tiny_spec
from tritonseg_engines.running.pictures import smooth_noise
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import Size
from tritonseg_steps.resampling import Resampling
from tritonseg_steps.resize_policy import (
    CenterCrop,
    FitPad,
    KeepRatio,
    Native,
    ResizePolicy,
    Stretch,
)

PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
IMAGE_HWC = smooth_noise((107, 90), 1, cell=6)[0].image_hwc
PADDING, OUTSIDE = 255, 4
NEAREST = cv2.INTER_NEAREST_EXACT


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
    # Cropped and padded at once, with room for all of the picture on every side.
    room = max(*content_hw, *network_hw)
    padded = np.full((network_hw[0] + 2 * room, network_hw[1] + 2 * room, 3), PADDING, np.float32)
    padded[room + top : room + top + height, room + left : room + left + width] = picture
    padded = padded[room : room + network_hw[0], room : room + network_hw[1]]
    batch = ((padded - 127.5) / 127.5).transpose(2, 0, 1)[None]
    scores = run_onnx(model, batch.astype(np.float32))[0]
    rows, columns = np.arange(height) + top, np.arange(width) + left
    inside = (
        ((rows >= 0) & (rows < network_hw[0]))[:, None]
        & ((columns >= 0) & (columns < network_hw[1]))
    )  # fmt: skip
    content = scores[
        :, rows.clip(0, network_hw[0] - 1)[:, None], columns.clip(0, network_hw[1] - 1)
    ]
    planes = np.stack([cv2.resize(plane, IMAGE_HWC.shape[1::-1]) for plane in content])
    ranked = np.sort(planes, axis=0)
    classes_hw, stable_hw = planes.argmax(axis=0), ranked[-1] - ranked[-2] > 1e-4 * planes.max()
    seen = cv2.resize(inside.astype(np.uint8), IMAGE_HWC.shape[1::-1], interpolation=NEAREST) > 0
    return np.where(seen, classes_hw, OUTSIDE), stable_hw | ~seen


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
    "cut out of the middle": (
        CenterCrop(height=64, width=96, short_side=80, outside=OUTSIDE), ANTIALIASED,
        (64, 96), (95, 80), (64, 96), (-16, 8),
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


AFTER_NORMALIZATION = {
    "bilinear": Resampling(after_normalization=True),
    "bicubic": Resampling(interpolation="bicubic", after_normalization=True),
    "antialiased": Resampling(antialias=True, after_normalization=True),
    "antialiased bicubic": Resampling(
        interpolation="bicubic", antialias=True, after_normalization=True
    ),
}


@pytest.mark.parametrize("how", AFTER_NORMALIZATION.values(), ids=AFTER_NORMALIZATION)
def test_the_mask_is_that_of_a_trainer_who_normalises_first(
    how: Resampling, tmp_path: Path
) -> None:
    """Normalise, interpolate, network, interpolate back, argmax: torch but for the network."""
    model = TinyModel().model()
    onnx.save(model, tmp_path / "export.onnx")
    image_hwc = smooth_noise((157, 234), 1, cell=6)[0].image_hwc
    interpolate = torch.nn.functional.interpolate
    floats = (torch.from_numpy(image_hwc).permute(2, 0, 1)[None] - 127.5) / 127.5
    batch = interpolate(floats, (64, 96), mode=how.interpolation, antialias=how.antialias)
    scores = torch.from_numpy(run_onnx(model, batch.numpy()))
    expected_hw = interpolate(scores, image_hwc.shape[:2], mode="bilinear")[0].argmax(dim=0)
    equal = {}
    for after_normalization in (False, True):
        resampling = replace(how, after_normalization=after_normalization)
        spec = tiny_spec()
        preprocessing = replace(
            spec.preprocessing, resize=Stretch(height=64, width=96), resampling=resampling
        )
        folder = tmp_path / str(after_normalization)
        _, actual_hw = build_and_segment(
            replace(spec, preprocessing=preprocessing), tmp_path / "export.onnx", image_hwc, folder
        )
        equal[after_normalization] = float((actual_hw == expected_hw.numpy()).mean())
    assert len(np.unique(expected_hw)) > 2
    assert equal[True] >= 0.999
    assert equal[True] > equal[False]
