"""Normalisation against the formula, resize against OpenCV, padding against the policy."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from tritonseg_steps.preprocessing import Normalizer, Preprocessing
from tritonseg_steps.resampling import Resampling
from tritonseg_steps.resize_policy import FitPad, Stretch

MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
SCALE = (0.229 * 255, 0.224 * 255, 0.225 * 255)


def picture(height: int, width: int, count: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def by_formula(images_nhwc: np.ndarray) -> np.ndarray:
    """(x / 255 - mean) / std in float64, as every PyTorch recipe writes it."""
    scaled = images_nhwc / 255.0
    normalised = (scaled - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return normalised.transpose(0, 3, 1, 2)


def test_native_is_the_formula() -> None:
    images = picture(37, 53, count=2)
    batch = Normalizer(Preprocessing(mean=MEAN, scale=SCALE)).batch(images)
    assert batch.dtype == np.float32
    np.testing.assert_allclose(batch, by_formula(images), atol=3e-7, rtol=3e-7)


def test_every_byte_value_is_exact_to_half_a_float32_step() -> None:
    table = Preprocessing(mean=(127.5,) * 3, scale=(127.5,) * 3).table()
    expected = (np.arange(256) - 127.5) / 127.5
    assert np.array_equal(table, np.tile(expected.astype(np.float32), (3, 1)))


def test_bgr_swaps_channels_and_keeps_their_statistics() -> None:
    images = picture(8, 9)
    rgb = Normalizer(Preprocessing(mean=MEAN, scale=SCALE)).batch(images)
    bgr = Normalizer(Preprocessing(mean=MEAN, scale=SCALE, color_order="BGR")).batch(images)
    assert np.array_equal(bgr, rgb[:, ::-1])


def test_stretch_is_opencv_bilinear() -> None:
    images = picture(37, 53)
    preprocessing = Preprocessing(mean=MEAN, scale=SCALE, resize=Stretch(height=20, width=90))
    resized = cv2.resize(images[0], (90, 20), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(
        Normalizer(preprocessing).batch(images), by_formula(resized[None]), atol=3e-7, rtol=3e-7
    )


@pytest.mark.parametrize(("padding", "value"), [(None, 0.0), ((255.0,) * 3, None)])
def test_fit_pad_pads_right_and_bottom(
    padding: tuple[float, float, float] | None, value: float | None
) -> None:
    preprocessing = Preprocessing(
        mean=MEAN, scale=SCALE, resize=FitPad(height=64, width=64), padding=padding
    )
    batch = Normalizer(preprocessing).batch(picture(10, 40))
    resized = cv2.resize(picture(10, 40)[0], (64, 16), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(batch[:, :, :16], by_formula(resized[None]), atol=3e-7, rtol=3e-7)
    white = by_formula(np.full((1, 1, 1, 3), 255, np.uint8))
    expected = np.full((1, 3, 1, 1), value) if value is not None else white
    padded = np.broadcast_to(expected, (1, 3, 48, 64))
    np.testing.assert_allclose(batch[:, :, 16:], padded, atol=3e-7, rtol=3e-7)


def test_a_wide_picture_is_padded_on_the_right_too() -> None:
    preprocessing = Preprocessing(mean=MEAN, scale=SCALE, resize=FitPad(height=64, width=64))
    batch = Normalizer(preprocessing).batch(picture(40, 10))
    assert np.all(batch[:, :, :, 16:] == 0)
    assert np.all(batch[:, :, :, :16] != 0)


def test_pictures_that_are_views_are_read_right() -> None:
    images = picture(20, 30)
    flipped = images[:, ::-1, ::2]
    normalizer = Normalizer(Preprocessing(mean=MEAN, scale=SCALE))
    assert np.array_equal(normalizer.batch(flipped), normalizer.batch(flipped.copy()))


def test_json_round_trip() -> None:
    preprocessing = Preprocessing(
        mean=MEAN, scale=SCALE, color_order="BGR", resize=FitPad(height=3, width=4), padding=MEAN
    )
    assert Preprocessing.from_json(preprocessing.to_json()) == preprocessing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": [1, 2]}, "mean: expected three numbers"),
        ({"mean": [1, 2, float("nan")]}, "mean: expected three numbers"),
        ({"scale": [1, 0, 1]}, "scale: expected numbers other than 0"),
        ({"color_order": "GBR"}, "color_order: expected one of"),
        ({"gamma": 2.2}, "unknown key 'gamma'"),
    ],
)
def test_bad_documents_are_refused(change: dict[str, object], message: str) -> None:
    document = Preprocessing(mean=MEAN, scale=SCALE).to_json()
    with pytest.raises(ValueError, match=message):
        Preprocessing.from_json({**document, **change})


def test_a_centred_picture_has_padding_on_all_sides() -> None:
    resize = FitPad(height=65, width=96, align="center")
    preprocessing = Preprocessing(mean=MEAN, scale=SCALE, resize=resize, padding=(255.0,) * 3)
    image_hwc = picture(20, 40)[0]
    batch = Normalizer(preprocessing).batch(image_hwc[None])
    bordered = cv2.copyMakeBorder(
        cv2.resize(image_hwc, (96, 48)), 8, 9, 0, 0, cv2.BORDER_CONSTANT, value=(255,) * 3
    )
    np.testing.assert_allclose(batch, by_formula(bordered[None]), atol=3e-7, rtol=3e-7)
    batch = Normalizer(preprocessing).batch(picture(40, 20))
    assert np.all(batch[:, :, :, :32] == batch[:, :, :1, :1])
    assert np.all(batch[:, :, :, 64:] == batch[:, :, :1, :1])


def test_trainers_resampling_comes_before_the_formula() -> None:
    images = picture(90, 130)
    preprocessing = Preprocessing(
        mean=MEAN,
        scale=SCALE,
        resize=Stretch(height=32, width=48),
        resampling=Resampling(interpolation="bicubic", antialias=True),
    )
    narrow = Image.fromarray(images[0]).resize((48, 90), Image.Resampling.BICUBIC)
    resized = np.asarray(narrow.resize((48, 32), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(
        Normalizer(preprocessing).batch(images), by_formula(resized[None]), atol=3e-7, rtol=3e-7
    )


def test_older_steps_can_read_what_they_would_do_the_same() -> None:
    preprocessing = Preprocessing(mean=MEAN, scale=SCALE, resize=FitPad(height=3, width=4))
    document = preprocessing.to_json()
    assert set(document) == {"mean", "scale", "color_order", "resize", "padding"}
    assert document["resize"] == {"policy": "fit_pad", "height": 3, "width": 4}
    assert Preprocessing.from_json(document) == preprocessing
    centred = replace(
        preprocessing,
        resize=FitPad(height=3, width=4, rounding="round", align="center"),
        resampling=Resampling(interpolation="bicubic"),
    )
    assert Preprocessing.from_json(centred.to_json()) == centred
