"""Arrays, limits and the public reader: what is accepted without decoding anything."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tritonseg import (
    ConfigurationError,
    ImageDecodeError,
    ImageLimits,
    ImageTooLargeError,
    UnsupportedImageError,
    load_image,
)


class TestArrays:
    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((4, 5, 3), np.float32),
            np.full((4, 5, 3), np.nan),
            np.zeros((4, 5, 3), np.int64),
            np.zeros((4, 5, 3), np.int8),
            np.zeros((4, 5, 3), bool),
            np.zeros((4, 5, 3), ">u2"),
            np.zeros((4, 5, 3), object),
            np.zeros((3, 4, 5), np.uint8),
            np.zeros((4, 5), np.uint8),
            np.zeros((4, 5, 1), np.uint8),
            np.zeros((4, 5, 4), np.uint8),
            np.zeros((1, 4, 5, 3), np.uint8),
            np.zeros((0, 5, 3), np.uint8),
            np.zeros((4, 0, 3), np.uint8),
            np.array(3, np.uint8),
        ],
        ids=lambda array: f"{array.dtype}{array.shape}",
    )
    def test_others_than_uint8_hwc_are_refused(self, array):
        with pytest.raises(UnsupportedImageError, match=r"\(H, W, 3\) uint8") as caught:
            load_image(array)
        assert str(array.dtype) in str(caught.value)
        assert str(array.shape) in str(caught.value)

    @pytest.mark.parametrize(
        "view",
        [
            lambda array: array[::2, ::-1],
            np.asfortranarray,
            lambda array: array.transpose(1, 0, 2),
            lambda array: np.broadcast_to(array, array.shape),  # read-only
        ],
    )
    def test_any_memory_layout(self, photo, view):
        np.testing.assert_array_equal(load_image(view(photo)), view(photo))

    @pytest.mark.parametrize("source", [None, 7, ["a.png"], io.BytesIO(b"")])
    def test_other_types(self, source):
        with pytest.raises(UnsupportedImageError, match=type(source).__name__):
            load_image(source)


class TestLimits:
    @pytest.mark.parametrize(
        "limits",
        [
            {"max_pixels": 0},
            {"max_pixels": 2**31},
            {"max_pixels": True},
            {"max_pixels": 1.5},
            {"max_bytes": 0},
            {"formats": ()},
            {"formats": "PNG"},
            {"formats": ("EPS",)},
            {"formats": None},
            {"background": (0, 0)},
            {"background": (0, 0, 256)},
            {"background": "black"},
        ],
        ids=str,
    )
    def test_impossible_ones(self, limits):
        with pytest.raises(ConfigurationError, match=next(iter(limits))):
            ImageLimits(**limits)


class TestLoadImage:
    def test_gives_the_pixels_that_are_sent(self, photo, tmp_path):
        Image.fromarray(photo).save(tmp_path / "photo.png")
        pixels = load_image(tmp_path / "photo.png")
        np.testing.assert_array_equal(pixels, photo)
        assert not pixels.flags.writeable

    def test_keeps_to_the_limits(self, photo):
        with pytest.raises(ImageTooLargeError):
            load_image(photo, limits=ImageLimits(max_pixels=5))

    def test_errors_name_the_file(self, tmp_path):
        path = tmp_path / "notes.jpg"
        path.write_text("no picture")
        with pytest.raises(ImageDecodeError, match=r"notes\.jpg"):
            load_image(path)


@pytest.mark.parametrize("options", [{}, {"value_range": (0, 4095)}])
def test_gaps_are_not_filled_in(options):
    shape = (4, 5) if options else (4, 5, 3)
    masked = np.ma.masked_all(shape, np.uint16 if options else np.uint8)
    with pytest.raises(UnsupportedImageError, match=r"must not be masked.*array\.filled"):
        load_image(masked, **options)


def test_pixels_are_the_arrays_own():
    class Lying(np.ndarray):
        def tobytes(self, *_):
            return bytes(self.nbytes)

    array = np.full((2, 3, 3), 7, np.uint8).view(Lying)
    assert (load_image(array) == 7).all()
