"""Normalise, then resize, against torch, Pillow and OpenCV doing the two in that order."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tritonseg_steps.preprocessing import Normalizer, Preprocessing
from tritonseg_steps.resampling import Resampling
from tritonseg_steps.resize_policy import CenterCrop, FitPad, KeepRatio, ResizePolicy, Stretch

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TOLERANCE = 1e-5
"""Of values of -2.2 to 2.7 and their weighted sums in float32."""
PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
sides = st.integers(1, 90)
sizes = st.tuples(sides, sides)
seeds = st.integers(0, 2**32 - 1)


def preprocessing(resize: ResizePolicy, how: Resampling, **more: object) -> Preprocessing:
    fields = {
        "mean": tuple(255 * value for value in MEAN),
        "scale": tuple(255 * value for value in STD),
        **more,
    }
    return Preprocessing(resize=resize, resampling=how, **fields)


def picture(size_hw: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (*size_hw, 3)).astype(np.uint8)


def normalised(image_hwc: NDArray[np.uint8]) -> torch.Tensor:
    """torchvision's ToTensor and Normalize, `(1, 3, H, W)` float32."""
    batch = torch.from_numpy(image_hwc.copy()).permute(2, 0, 1)[None].float() / 255
    return (batch - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def by_torch(
    image_hwc: NDArray[np.uint8],
    size_hw: tuple[int, int],
    mode: str,
    *,
    antialias: bool = False,
    dtype: torch.dtype = torch.float64,
) -> NDArray[np.floating]:
    linear = {"align_corners": False, "antialias": antialias} if mode.startswith("bi") else {}
    resized: NDArray[np.floating] = torch.nn.functional.interpolate(
        normalised(image_hwc).to(dtype), size_hw, mode=mode, **linear
    ).numpy()
    return resized


def rounded_positions(image_hw: tuple[int, int]) -> float:
    """What positions in float32 move values: OpenCV's are, and those of torch's own float32.

    Neighbours are up to 5 apart, and a bicubic filter's slope is up to 2.
    """
    return float(10 * max(image_hw) * np.finfo(np.float32).eps)


@settings(max_examples=300, deadline=None)
@given(
    image_hw=sizes,
    size_hw=sizes,
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
    antialias=st.booleans(),
    seed=seeds,
)
@example(image_hw=(1, 1), size_hw=(7, 9), interpolation="bicubic", antialias=True, seed=0)
@example(image_hw=(64, 90), size_hw=(1, 1), interpolation="bicubic", antialias=False, seed=1)
@example(image_hw=(90, 1), size_hw=(1, 90), interpolation="bilinear", antialias=True, seed=2)
@example(image_hw=(40, 60), size_hw=(40, 31), interpolation="bicubic", antialias=True, seed=3)
@example(image_hw=(40, 60), size_hw=(83, 60), interpolation="bicubic", antialias=False, seed=4)
def test_it_is_torchs(
    image_hw: tuple[int, int],
    size_hw: tuple[int, int],
    interpolation: str,
    antialias: bool,
    seed: int,
) -> None:
    # torch 2.13 makes every row the first where what it antialiases becomes one pixel wide.
    assume(not antialias or size_hw[1] > 1)
    image_hwc = picture(image_hw, seed)
    how = Resampling(interpolation=interpolation, antialias=antialias, after_normalization=True)
    stretch = Stretch(height=size_hw[0], width=size_hw[1])
    actual = Normalizer(preprocessing(stretch, how)).batch(image_hwc[None])
    expected = by_torch(image_hwc, size_hw, interpolation, antialias=antialias)
    assert actual.dtype == np.float32
    tolerance = TOLERANCE if antialias else max(TOLERANCE, rounded_positions(image_hw))
    np.testing.assert_allclose(actual, expected, atol=tolerance, rtol=0)


@settings(max_examples=200, deadline=None)
@given(image_hw=sizes, size_hw=sizes, interpolation=st.sampled_from(list(PILLOW)), seed=seeds)
@example(image_hw=(64, 90), size_hw=(1, 1), interpolation="bicubic", seed=1)
@example(image_hw=(2, 1), size_hw=(3, 1), interpolation="bilinear", seed=2)
def test_antialiased_it_is_pillows_of_floats(
    image_hw: tuple[int, int], size_hw: tuple[int, int], interpolation: str, seed: int
) -> None:
    image_hwc = picture(image_hw, seed)
    how = Resampling(interpolation=interpolation, antialias=True, after_normalization=True)
    stretch = Stretch(height=size_hw[0], width=size_hw[1])
    (actual,) = Normalizer(preprocessing(stretch, how)).batch(image_hwc[None])
    for plane_hw, resized_hw in zip(normalised(image_hwc)[0].numpy(), actual, strict=True):
        plane = Image.fromarray(np.ascontiguousarray(plane_hw))
        assert plane.mode == "F"
        expected = np.asarray(plane.resize(size_hw[::-1], PILLOW[interpolation]))
        np.testing.assert_allclose(resized_hw, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size_hw", [(512, 1024), (300, 301), (769, 2000)])
def test_large_pictures_are_what_torch_makes_of_float32(
    size_hw: tuple[int, int], interpolation: str, antialias: bool
) -> None:
    image_hwc = picture((640, 1283), 5)
    how = Resampling(interpolation=interpolation, antialias=antialias, after_normalization=True)
    stretch = Stretch(height=size_hw[0], width=size_hw[1])
    actual = Normalizer(preprocessing(stretch, how)).batch(image_hwc[None])
    expected = by_torch(image_hwc, size_hw, interpolation, antialias=antialias, dtype=torch.float32)
    tolerance = rounded_positions((640, 1283))
    assert tolerance < 0.5 / 255 / max(STD)  # less than what rounding to levels does
    np.testing.assert_allclose(actual, expected, atol=tolerance, rtol=0)


def test_a_filters_overshoot_is_kept() -> None:
    """Bytes would have been held in 0-255, and rounded."""
    image_hwc = np.zeros((40, 40, 3), np.uint8)
    image_hwc[:, 20:] = 255
    stretch, how = Stretch(height=60, width=60), Resampling(interpolation="bicubic")
    of_bytes = Normalizer(preprocessing(stretch, how)).batch(image_hwc[None])
    how = Resampling(interpolation="bicubic", after_normalization=True)
    of_floats = Normalizer(preprocessing(stretch, how)).batch(image_hwc[None])
    assert of_floats.max() > of_bytes.max() + 0.1
    assert of_floats.min() < of_bytes.min() - 0.1


@settings(max_examples=100, deadline=None)
@given(image_hw=sizes, size_hw=sizes, seed=seeds)
def test_nearest_is_torchs_but_where_a_centre_lies_between_two_pixels(
    image_hw: tuple[int, int], size_hw: tuple[int, int], seed: int
) -> None:
    image_hwc = picture(image_hw, seed)
    how = Resampling(interpolation="nearest", after_normalization=True)
    stretch = Stretch(height=size_hw[0], width=size_hw[1])
    actual = Normalizer(preprocessing(stretch, how)).batch(image_hwc[None])
    expected = by_torch(image_hwc, size_hw, "nearest-exact")
    between = [
        (2 * np.arange(size) + 1) * side % (2 * size) == 0
        for size, side in zip(size_hw, image_hw, strict=True)
    ]
    sure = ~(between[0][:, None] | between[1])
    np.testing.assert_allclose(actual[..., sure], expected[..., sure], atol=TOLERANCE, rtol=0)


@settings(max_examples=100, deadline=None)
@given(image_hw=sizes, size_hw=sizes, seed=seeds)
def test_area_is_opencvs(image_hw: tuple[int, int], size_hw: tuple[int, int], seed: int) -> None:
    image_hwc = picture(image_hw, seed)
    how = Resampling(interpolation="area", after_normalization=True)
    stretch = Stretch(height=size_hw[0], width=size_hw[1])
    (actual,) = Normalizer(preprocessing(stretch, how)).batch(image_hwc[None])
    floats_hwc = (image_hwc / 255 - MEAN) / STD
    expected_hwc = cv2.resize(floats_hwc, size_hw[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(actual, expected_hwc.transpose(2, 0, 1), atol=TOLERANCE, rtol=0)


AFTER = Resampling(antialias=True, after_normalization=True)


def test_bgr_swaps_channels_and_keeps_their_statistics() -> None:
    image_hwc, stretch = picture((30, 50), 0), Stretch(height=20, width=20)
    expected = by_torch(image_hwc, (20, 20), "bilinear", antialias=True)
    settings_of_bgr = preprocessing(stretch, AFTER, color_order="BGR")
    actual = Normalizer(settings_of_bgr).batch(image_hwc[None])
    np.testing.assert_allclose(actual, expected[:, ::-1], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("padding", [None, (255.0, 0.0, 127.0)])
def test_padding_is_around_what_was_resized(
    padding: tuple[float, float, float] | None,
) -> None:
    image_hwc = picture((107, 90), 1)
    resize = FitPad(height=64, width=96, rounding="round", align="center")
    batch = Normalizer(preprocessing(resize, AFTER, padding=padding)).batch(image_hwc[None])
    value = torch.zeros(3) if padding is None else torch.tensor(padding) / 255
    if padding is not None:
        value = (value - torch.tensor(MEAN)) / torch.tensor(STD)
    expected = value[None, :, None, None].expand(1, 3, 64, 96).numpy().copy()
    expected[..., 21 : 21 + 54] = by_torch(image_hwc, (64, 54), "bilinear", antialias=True)
    np.testing.assert_allclose(batch, expected, atol=TOLERANCE, rtol=0)


def test_a_crop_is_cut_out_of_what_was_resized() -> None:
    image_hwc = picture((107, 90), 2)
    resize = CenterCrop(height=64, width=96, short_side=80, outside=0)
    batch = Normalizer(preprocessing(resize, AFTER)).batch(image_hwc[None])
    expected = np.zeros((1, 3, 64, 96), np.float32)  # 95x80, cut above and below, padded aside
    resized = by_torch(image_hwc, (95, 80), "bilinear", antialias=True)
    expected[..., 8:88] = resized[:, :, 16:80]
    np.testing.assert_allclose(batch, expected, atol=TOLERANCE, rtol=0)


def test_views_read_only_pictures_and_batches_are_read_right() -> None:
    images_nhwc = np.stack([picture((61, 90), seed) for seed in (1, 2)])[:, ::-1, ::2]
    images_nhwc.flags.writeable = False
    resize = KeepRatio(long_side=40, rounding="truncate", size_divisor=8)
    batch = Normalizer(preprocessing(resize, AFTER)).batch(images_nhwc)
    assert batch.shape == (2, 3, 40, 32)
    for one, image_hwc in zip(batch, images_nhwc, strict=True):
        expected = by_torch(image_hwc, (40, 29), "bilinear", antialias=True)[0]
        np.testing.assert_allclose(one[:, :, :29], expected, atol=TOLERANCE, rtol=0)


def test_pictures_that_are_not_resized_are_the_same_either_way() -> None:
    images_nhwc, resize = picture((32, 48), 3)[None], Stretch(height=32, width=48)
    actual = Normalizer(preprocessing(resize, AFTER)).batch(images_nhwc)
    expected = Normalizer(preprocessing(resize, Resampling())).batch(images_nhwc)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("after_normalization", [False, True])
def test_older_steps_read_what_is_resized_as_bytes(after_normalization: bool) -> None:
    how = Resampling(antialias=True, after_normalization=after_normalization)
    settings_of_it = preprocessing(Stretch(height=3, width=4), how)
    document = settings_of_it.to_json()
    of_before = {"interpolation": "bilinear", "antialias": True}
    added = {"after_normalization": True} if after_normalization else {}
    assert document["resampling"] == {**of_before, **added}
    assert Preprocessing.from_json(document) == settings_of_it
    assert Resampling.from_json(of_before) == Resampling(antialias=True)


def test_anything_but_true_and_false_is_refused() -> None:
    document = {"interpolation": "bilinear", "antialias": False, "after_normalization": 1}
    with pytest.raises(ValueError, match="expected true or false, got 1"):
        Resampling.from_json(document)
