"""Resizing against the tools that trainers use: Pillow, torch and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tritonseg_steps.resampling import Resampling

PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
sides = st.integers(1, 90)
sizes = st.tuples(sides, sides)
filters = st.sampled_from(["bilinear", "bicubic"])


def picture(size_hw: tuple[int, int], seed: int, *, binary: bool = False) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    if binary:  # the filter's overshoot is cut off between the rows and the columns
        return (255 * rng.integers(0, 2, (*size_hw, 3))).astype(np.uint8)
    return rng.integers(0, 256, (*size_hw, 3)).astype(np.uint8)


def street_like(size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Soft shades with hard edges in them, as photographs have."""
    height, width = size_hw
    rng = np.random.default_rng(7)
    shades = cv2.resize(rng.normal(128, 50, (9, 13, 3)), (width, height))
    shades[height // 3 : height // 2, width // 5 : width // 2] += 90
    cv2.line(shades, (0, height), (width, height // 4), (250, 250, 250), 3)
    return shades.clip(0, 255).astype(np.uint8)


def by_pillow(
    image_hwc: NDArray[np.uint8], size_hw: tuple[int, int], interpolation: str
) -> NDArray[np.uint8]:
    """Rows first, which Pillow 13 does by itself only where that is less work."""
    height, width = size_hw
    narrow = Image.fromarray(image_hwc).resize((width, len(image_hwc)), PILLOW[interpolation])
    return np.asarray(narrow.resize((width, height), PILLOW[interpolation]))


@settings(max_examples=200, deadline=None)
@given(image_hw=sizes, size_hw=sizes, seed=sides)
def test_nearest_is_pillows(image_hw: tuple[int, int], size_hw: tuple[int, int], seed: int) -> None:
    image_hwc = picture(image_hw, seed)
    actual = Resampling(interpolation="nearest").resized(image_hwc, size_hw)
    expected = Image.fromarray(image_hwc).resize(size_hw[::-1], Image.Resampling.NEAREST)
    np.testing.assert_array_equal(actual, np.asarray(expected))


@pytest.mark.parametrize("image_hw", [(4, 33_000), (40_000, 3), (1024, 2048), (720, 1280)])
def test_nearest_at_sizes_that_opencv_gets_wrong(image_hw: tuple[int, int]) -> None:
    """`INTER_NEAREST_EXACT` reads beyond sides of 32768 and more, and is another near borders."""
    image_hwc = picture(image_hw, 1)
    actual = Resampling(interpolation="nearest").resized(image_hwc, (384, 384))
    expected = Image.fromarray(image_hwc).resize((384, 384), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(actual, np.asarray(expected))


@settings(max_examples=200, deadline=None)
@given(image_hw=sizes, size_hw=sizes, interpolation=filters, binary=st.booleans(), seed=sides)
def test_antialiased_is_pillow_in_every_bit(
    image_hw: tuple[int, int], size_hw: tuple[int, int], interpolation: str, binary: bool, seed: int
) -> None:
    image_hwc = picture(image_hw, seed, binary=binary)
    resampling = Resampling(interpolation=interpolation, antialias=True)
    actual = resampling.resized(image_hwc, size_hw)
    np.testing.assert_array_equal(actual, by_pillow(image_hwc, size_hw, interpolation))


@pytest.mark.parametrize("interpolation", PILLOW)
@pytest.mark.parametrize("size_hw", [(256, 512), (300, 301), (123, 700), (777, 900)])
def test_pictures_that_are_views_and_read_only_are_read_right(
    size_hw: tuple[int, int], interpolation: str
) -> None:
    image_hwc = street_like((512, 1024))[::-1, 7:-9]
    image_hwc.flags.writeable = False
    actual = Resampling(interpolation=interpolation, antialias=True).resized(image_hwc, size_hw)
    np.testing.assert_array_equal(actual, by_pillow(image_hwc, size_hw, interpolation))


@pytest.mark.parametrize("interpolation", PILLOW)
@pytest.mark.parametrize("size_hw", [(256, 512), (300, 301), (123, 700), (777, 900)])
def test_one_call_of_pillow_is_the_same_within_a_level(
    size_hw: tuple[int, int], interpolation: str
) -> None:
    image_hwc = street_like((512, 1024))
    actual = Resampling(interpolation=interpolation, antialias=True).resized(image_hwc, size_hw)
    expected = np.asarray(Image.fromarray(image_hwc).resize(size_hw[::-1], PILLOW[interpolation]))
    assert np.abs(actual.astype(int) - expected).max() <= 1


def by_torch(
    image_hwc: NDArray[np.uint8],
    size_hw: tuple[int, int],
    interpolation: str,
    *,
    antialias: bool,
    dtype: torch.dtype,
) -> NDArray[np.float64]:
    batch = torch.from_numpy(image_hwc.copy()).permute(2, 0, 1)[None].to(dtype)
    resized = torch.nn.functional.interpolate(
        batch, size_hw, mode=interpolation, antialias=antialias, align_corners=False
    )
    return resized[0].permute(1, 2, 0).double().clamp(0, 255).numpy()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=["bytes", "floats"])
@pytest.mark.parametrize("interpolation", PILLOW)
@pytest.mark.parametrize("size_hw", [(256, 512), (300, 301), (123, 700), (777, 900)])
def test_antialiased_is_torchs_within_a_level(
    size_hw: tuple[int, int], interpolation: str, dtype: torch.dtype
) -> None:
    """What torchvision's `resize(antialias=True)` calls, of tensors of bytes and of floats.

    Levels are kept away from the ends: a bicubic filter overshoots, which Pillow cuts off between
    rows and columns too.
    """
    image_hwc = street_like((512, 1024)) // 2 + 60
    actual = Resampling(interpolation=interpolation, antialias=True).resized(image_hwc, size_hw)
    expected = by_torch(image_hwc, size_hw, interpolation, antialias=True, dtype=dtype)
    # Half a level is rounded off between rows and columns, which the second filter enlarges.
    assert np.abs(actual - expected).max() <= 1.2


@pytest.mark.parametrize("interpolation", PILLOW)
@pytest.mark.parametrize("size_hw", [(256, 512), (300, 301), (777, 900)])
def test_without_antialiasing_it_is_torchs_too(
    size_hw: tuple[int, int], interpolation: str
) -> None:
    image_hwc = street_like((512, 1024))
    actual = Resampling(interpolation=interpolation).resized(image_hwc, size_hw)
    expected = by_torch(image_hwc, size_hw, interpolation, antialias=False, dtype=torch.float32)
    assert np.abs(actual - expected).max() <= 2
    assert np.abs(actual - expected).mean() < 0.5


@settings(max_examples=100, deadline=None)
@given(image_hw=sizes, size_hw=sizes, seed=sides)
def test_nearest_is_pillow_but_where_a_centre_lies_between_two_pixels(
    image_hw: tuple[int, int], size_hw: tuple[int, int], seed: int
) -> None:
    image_hwc = picture(image_hw, seed)
    actual = Resampling(interpolation="nearest").resized(image_hwc, size_hw)
    expected = np.asarray(
        Image.fromarray(image_hwc).resize(size_hw[::-1], Image.Resampling.NEAREST)
    )
    between = [
        (2 * np.arange(size) + 1) * side % (2 * size) == 0
        for size, side in zip(size_hw, image_hw, strict=True)
    ]
    sure = ~(between[0][:, None] | between[1])
    np.testing.assert_array_equal(actual[sure], expected[sure])


def test_area_is_the_mean_of_what_becomes_one_pixel() -> None:
    image_hwc = picture((12, 20), 3)
    actual = Resampling(interpolation="area").resized(image_hwc, (3, 4))
    expected = image_hwc.reshape(3, 4, 4, 5, 3).mean(axis=(1, 3))
    assert np.abs(actual - expected).max() <= 0.5


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"interpolation": "lanczos", "antialias": False}, "resize.interpolation: expected one of"),
        ({"interpolation": "area", "antialias": True}, "expected interpolation: bilinear or bicu"),
        ({"interpolation": "bicubic", "antialias": 1}, "resize.antialias: expected true or false"),
        ({"interpolation": "bicubic"}, "missing key 'antialias'"),
    ],
)
def test_bad_documents_are_refused(document: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Resampling.from_json(document)


def test_json_round_trip() -> None:
    resampling = Resampling(interpolation="bicubic", antialias=True)
    assert Resampling.from_json(resampling.to_json()) == resampling
