"""Grey of more than 8 bits, of which the caller says what it means."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from picture_kinds import GRAY_TYPE, JPEG, WIDE, encode, gray, png, tiff, turned
from tritonseg import ConfigurationError, ImageLimits, ImageTooLargeError, UnsupportedImageError
from tritonseg import load_image as load

VALUES = np.arange(4096, dtype=np.uint16).reshape(64, 64)
RANGE = (0, 4095)


def expected(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return gray(np.rint(np.interp(values, [low, high], [0.0, 255.0])))


def tiff_of(values: np.ndarray) -> bytes:
    """Write it without Pillow."""
    sample_format = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    return tiff(values[..., None], sample_format=sample_format)


@pytest.mark.parametrize("value_range", [(0, 4095), (1000, 3000), (-500.5, 12_000)])
def test_files_of_every_kind(value_range):
    shown = expected(VALUES, *value_range)
    for encoded in (
        png(VALUES, 16, GRAY_TYPE),
        tiff_of(VALUES),
        tiff_of(VALUES.astype(np.int16)),
        tiff_of(VALUES.astype(np.int32)),
        tiff_of(VALUES.astype(np.float32)),
        encode(Image.fromarray(VALUES), "TIFF", compression="tiff_lzw"),
    ):
        np.testing.assert_array_equal(load(encoded, value_range=value_range), shown)


def test_negative_values():
    """Hounsfield units, in a lung's window."""
    units = np.linspace(-1024, 3071, 4096).astype(np.int16).reshape(64, 64)
    read = load(tiff_of(units), value_range=(-1350, 150))
    np.testing.assert_array_equal(read, expected(units, -1350, 150))
    assert (read == 255).any()


@pytest.mark.parametrize("dtype", ["u2", ">u2", "i2", "i4", "i8", "u4", "f2", "f4", "f8"])
def test_arrays(dtype):
    values = VALUES.astype(dtype)
    np.testing.assert_array_equal(load(values, value_range=RANGE), expected(values, *RANGE))


def test_pil_images_loaded_or_not(tmp_path):
    encoded = png(VALUES, 16, GRAY_TYPE)
    (tmp_path / "values.png").write_bytes(encoded)
    images = [Image.open(io.BytesIO(encoded)), Image.open(tmp_path / "values.png")]
    images += [Image.fromarray(VALUES), Image.fromarray(VALUES.astype(np.float32))]
    images[1].load()
    for image in images:
        shown = load(image, value_range=RANGE)
        np.testing.assert_array_equal(shown, expected(VALUES, *RANGE))
        np.testing.assert_array_equal(load(image, value_range=RANGE), shown)


def test_a_turned_file():
    for format in ("PNG", "TIFF"):
        encoded = encode(Image.fromarray(VALUES[:20]), format, exif=turned())
        read = load(encoded, value_range=RANGE)
        np.testing.assert_array_equal(read, np.rot90(expected(VALUES[:20], *RANGE), k=-1))


@given(
    st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.lists(st.floats(-1e7, 1e7), min_size=1)
)  # fmt: skip
def test_levels_are_the_nearest(low, width, values):
    array = np.array([values])
    read = load(array, value_range=(low, low + width))[0, :, 0]
    exact = np.clip((array[0] - low) / width * 255, 0, 255)
    assert np.abs(read - exact).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(value):
    values = np.zeros((5, 5), np.float32)
    values[3, 3] = value
    for source in (values, tiff_of(values)):
        with pytest.raises(UnsupportedImageError, match="NaN or infinity"):
            load(source, value_range=(0, 1))


@pytest.mark.parametrize(
    "value_range",
    [
        *[(0, 0), (1, 0), (0,), (0, 1, 2), 5, "ab"],
        *[(0, float("nan")), (0, float("inf")), (0, 10**400)],
    ],
)
def test_what_is_no_range(value_range):
    with pytest.raises(ConfigurationError, match="value_range"):
        load(VALUES, value_range=value_range)


class TestRefused:
    @pytest.mark.parametrize("source", [JPEG, png(WIDE, 16, 2), Image.new("L", (3, 3))])
    def test_what_has_a_range_already(self, source):
        with pytest.raises(UnsupportedImageError, match="value_range"):
            load(source, value_range=RANGE)

    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint16), np.zeros((4, 4), bool),
            np.zeros((0, 4), np.uint16), np.zeros((4, 4), object), np.zeros((4, 4), complex),
        ],
    )  # fmt: skip
    def test_other_arrays(self, array):
        with pytest.raises(UnsupportedImageError, match="value_range"):
            load(array, value_range=RANGE)

    def test_values_without_a_range_say_what_to_call(self):
        for source in (png(VALUES, 16, GRAY_TYPE), tiff_of(VALUES.astype(np.float32))):
            with pytest.raises(UnsupportedImageError, match=r"load_image\(source, value_range="):
                load(source)

    def test_a_tiff_in_which_0_is_white(self):
        photometric = struct.pack("<HHI", 262, 3, 1)
        black, white = (photometric + struct.pack("<HH", kind, 0) for kind in (1, 0))
        inverted = tiff_of(VALUES).replace(black, white)
        assert inverted != tiff_of(VALUES)
        with pytest.raises(UnsupportedImageError, match="0 is black"):
            load(inverted, value_range=RANGE)

    def test_unsigned_values_that_pillow_reads_as_signed(self):
        with pytest.raises(UnsupportedImageError, match="32 unsigned"):
            load(tiff_of(VALUES.astype(np.uint32)), value_range=RANGE)

    def test_too_many_pixels(self):
        limits = ImageLimits(max_pixels=4095)
        for source in (VALUES, png(VALUES, 16, GRAY_TYPE)):
            with pytest.raises(ImageTooLargeError):
                load(source, value_range=RANGE, limits=limits)
