"""The image contract, row by row; encoded files are made here, by hand where Pillow cannot."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tritonseg import (
    ImageDecodeError,
    ImageLimits,
    ImageTooLargeError,
    InvalidImageError,
    UnsupportedImageError,
)
from tritonseg._pictures.image import read_image

LIMITS = ImageLimits()

GRAY, PALETTE, RGB, RGBA = 0, 3, 2, 6  # PNG colour types


def read(source, **limits):
    image = read_image(source, ImageLimits(**limits))
    assert image.array_hwc.shape == (*image.size, 3)
    return image.array_hwc


def encode(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def make_png(
    width: int, height: int, rows: bytes, *, bits: int = 8, color: int = RGB, extra: bytes = b""
) -> bytes:
    """Write a PNG without Pillow; `rows` are the scan lines, each after its filter byte."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + extra + body


@pytest.fixture
def picture(photo):
    return Image.fromarray(photo)


class TestFilesThatAreNoPicture:
    @pytest.mark.parametrize(
        "encoded",
        [
            b"",
            b"\0",
            bytes(range(256)),
            b"<!DOCTYPE html><html><body>404</body></html>",
            b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
            b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            b"\xff\xd8\xff",
            b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00",
            b"\x89PNG\r\n\x1a\n",
            b"BM",
            b"II*\x00",
            b"MM\x00*\x00\x00\x00\x08",
            b"RIFF\x00\x00\x00\x00WEBPVP8 ",
        ],
    )
    def test_are_not_decoded(self, encoded):
        with pytest.raises(ImageDecodeError):
            read(encoded)

    def test_wrong_checksum(self):
        png = bytearray(make_png(2, 2, bytes(14)))
        png[29] ^= 1  # in the header's CRC
        with pytest.raises(ImageDecodeError):
            read(bytes(png))

    @pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
    def test_no_pixels(self, size):
        with pytest.raises(ImageDecodeError):
            read(make_png(*size, b""))
        with pytest.raises(ImageDecodeError, match="no pixels"):
            read(Image.new("RGB", size))

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
    @pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
    def test_truncated(self, format, kept):
        noise = np.random.default_rng(7).integers(0, 256, (64, 64, 3), np.uint8)
        encoded = encode(Image.fromarray(noise), format)
        with pytest.raises(ImageDecodeError):
            read(encoded[: int(len(encoded) * kept)])

    def test_trailing_garbage_is_harmless(self, picture):
        encoded = encode(picture, "JPEG")
        np.testing.assert_array_equal(read(encoded + b"garbage" * 99), read(encoded))

    def test_gif_is_not_among_the_formats(self, picture):
        with pytest.raises(ImageDecodeError, match="AVIF, BMP, HEIF, JPEG, PNG, TIFF, WEBP"):
            read(encode(picture, "GIF"))

    def test_formats_can_be_narrowed(self, picture):
        png = encode(picture, "PNG")
        assert read(png, formats=("PNG",)).shape == (6, 8, 3)
        with pytest.raises(ImageDecodeError, match=r"formats JPEG, got PNG"):
            read(png, formats=("JPEG",))


class TestFiles:
    def test_missing(self, tmp_path):
        with pytest.raises(ImageDecodeError, match=r"no-such\.png.*No such file") as caught:
            read(tmp_path / "no-such.png")
        assert isinstance(caught.value.__cause__, FileNotFoundError)

    def test_directory(self, tmp_path):
        with pytest.raises(ImageDecodeError, match="not a regular file"):
            read(tmp_path)

    def test_path_that_is_none(self):
        with pytest.raises(ImageDecodeError):
            read("street\0.png")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this platform")
    def test_named_pipe_does_not_block(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(ImageDecodeError, match="not a regular file"):
            read(tmp_path / "pipe.png")

    def test_too_many_bytes(self, tmp_path, picture):
        encoded = encode(picture, "PNG")
        path = tmp_path / "street.png"
        path.write_bytes(encoded)
        size = len(encoded)
        assert read(path, max_bytes=size).shape == read(encoded, max_bytes=size).shape
        for source in (path, encoded, bytearray(encoded), memoryview(encoded)):
            with pytest.raises(ImageTooLargeError, match=f"{size} bytes.*{size - 1}"):
                read(source, max_bytes=size - 1)


class TestTooManyPixels:
    @pytest.mark.parametrize(
        "encoded",
        [
            pytest.param(make_png(60_000, 60_000, b""), id="header alone"),
            pytest.param(
                make_png(12_000, 12_000, bytes(12_000 * 1501), bits=1, color=GRAY), id="1 bit"
            ),
            pytest.param(make_png(9_000, 9_000, bytes(9_000 * 27_001)), id="81 megapixels"),
            pytest.param(
                encode(Image.new("1", (12_000, 12_000)), "TIFF", compression="group4"), id="TIFF"
            ),
        ],
    )
    def test_are_refused_before_decoding(self, encoded):
        assert len(encoded) < 300_000
        begin_s = time.monotonic()
        with pytest.raises(ImageTooLargeError):
            read(encoded)
        assert time.monotonic() - begin_s < 0.1

    def test_limit_is_inclusive(self, picture, photo):
        for source in (photo, picture, encode(picture, "PNG")):
            assert read(source, max_pixels=48).shape == (6, 8, 3)
            with pytest.raises(ImageTooLargeError, match=r"6×8 = 48 pixels.*47"):
                read(source, max_pixels=47)

    @pytest.mark.parametrize("format", ["BMP", "JPEG", "PNG"])
    def test_pillows_own_limit_plays_no_part(self, monkeypatch, picture, format):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # Pillow would warn of our 48
        assert read(encode(picture, format)).shape == (6, 8, 3)

    def test_pillows_own_limit_within_a_decoder(self, monkeypatch, picture):
        tiff = encode(picture, "TIFF")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
        try:
            assert read(tiff).shape == (6, 8, 3)  # Pillow 10 and 11 look at no limit here
        except ImageTooLargeError as error:
            assert "Pillow" in str(error)  # noqa: PT017


class TestModes:
    def test_rgb_is_unchanged(self, picture, photo):
        for source in (picture, *(encode(picture, format) for format in ("PNG", "BMP", "TIFF"))):
            np.testing.assert_array_equal(read(source), photo)
        webp = encode(picture, "WEBP", lossless=True)
        np.testing.assert_array_equal(read(webp), photo)

    def test_gray(self, photo):
        gray = photo[..., 0]
        expected = np.stack([gray] * 3, axis=-1)
        for source in (Image.fromarray(gray), encode(Image.fromarray(gray), "PNG")):
            np.testing.assert_array_equal(read(source), expected)

    def test_one_bit(self, photo):
        bits = photo[..., 0] > 100
        expected = np.stack([bits * np.uint8(255)] * 3, axis=-1)
        for source in (Image.fromarray(bits), encode(Image.fromarray(bits), "PNG")):
            np.testing.assert_array_equal(read(source), expected)

    def test_palette(self):
        indices = np.array([[0, 1], [2, 1]], np.uint8)
        colors = np.array([[9, 8, 7], [255, 0, 1], [30, 31, 32]], np.uint8)
        image = Image.fromarray(indices).convert("L")
        image.putpalette(colors.tobytes())
        for source in (image, encode(image, "PNG")):
            np.testing.assert_array_equal(read(source), colors[indices])

    @pytest.mark.parametrize("background", [(0, 0, 0), (255, 128, 3)])
    def test_alpha_shows_the_background_and_never_the_hidden_colour(self, photo, background):
        alpha = np.linspace(0, 255, 48).astype(np.uint8).reshape(6, 8, 1)
        image = Image.fromarray(np.concatenate([photo, alpha], axis=-1))
        weight = alpha / 255.0
        expected = photo * weight + np.array(background) * (1.0 - weight)
        for source in (image, encode(image, "PNG"), encode(image, "TIFF")):
            got = read(source, background=background)
            np.testing.assert_allclose(got, expected, atol=1.0)
            np.testing.assert_array_equal(got[0, 0], background)

    def test_gray_with_alpha(self):
        image = Image.fromarray(np.array([[[200, 0], [200, 255]]], np.uint8))
        assert image.mode == "LA"
        for source in (image, encode(image, "PNG")):
            np.testing.assert_array_equal(read(source), [[[0, 0, 0], [200, 200, 200]]])

    def test_transparent_colour_of_a_png(self):
        hidden, shown = (200, 10, 10), (20, 30, 40)
        transparency = chunk(b"tRNS", struct.pack(">HHH", *hidden))
        png = make_png(2, 1, b"\0" + bytes(hidden) + bytes(shown), extra=transparency)
        np.testing.assert_array_equal(read(png), [[(0, 0, 0), shown]])

    def test_transparent_palette_entry_of_a_png(self):
        colors = chunk(b"PLTE", bytes([200, 10, 10, 20, 30, 40])) + chunk(b"tRNS", b"\x00\xff")
        png = make_png(2, 1, b"\0\0\1", color=PALETTE, extra=colors)
        np.testing.assert_array_equal(read(png), [[(0, 0, 0), (20, 30, 40)]])

    def test_transparent_gray_of_a_png(self):
        key = chunk(b"tRNS", struct.pack(">H", 1))
        png = make_png(2, 1, b"\0\x01\x00", color=GRAY, extra=key)
        background = (7, 8, 9)
        np.testing.assert_array_equal(read(png, background=background), [[background, (0, 0, 0)]])

    @pytest.mark.parametrize(
        ("bits", "color", "key"), [(1, GRAY, 1), (2, GRAY, 1), (4, GRAY, 1), (16, RGB, 3)]
    )
    def test_transparent_colour_that_pillow_would_show(self, bits, color, key):
        transparency = chunk(b"tRNS", struct.pack(">H", 1) * key)
        png = make_png(2, 1, bytes(13), bits=bits, color=color, extra=transparency)
        with pytest.raises(UnsupportedImageError, match=f"8 bits a channel, got {bits}"):
            read(png)

    def test_transparent_palette_entry_of_two_bits(self):
        colors = chunk(b"PLTE", bytes([200, 10, 10, 20, 30, 40])) + chunk(b"tRNS", b"\x00\xff")
        png = make_png(2, 1, b"\0\x10", bits=2, color=PALETTE, extra=colors)
        np.testing.assert_array_equal(read(png), [[(0, 0, 0), (20, 30, 40)]])

    def test_cmyk(self):
        inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255]]], np.uint8)
        image = Image.frombytes("CMYK", (3, 1), inks.tobytes())
        np.testing.assert_array_equal(read(image), [[[255] * 3, [0, 255, 255], [0] * 3]])
        flat = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
        np.testing.assert_allclose(read(encode(flat, "JPEG"))[8, 8], [0, 255, 255], atol=4)

    @pytest.mark.parametrize("mode", ["I", "I;16", "F", "LAB", "HSV", "RGBX", "La", "RGBa"])
    def test_modes_that_would_mean_guessing(self, mode):
        with pytest.raises(UnsupportedImageError, match=f"got (grey of )?mode {mode}"):
            read(Image.new(mode, (4, 3)))

    def test_sixteen_bit_gray_files(self):
        png = make_png(2, 1, b"\0\x12\x34\xff\xff", bits=16, color=GRAY)
        tiff = encode(Image.new("I;16", (4, 3)), "TIFF")
        for encoded in (png, tiff, encode(Image.new("F", (4, 3)), "TIFF")):
            with pytest.raises(UnsupportedImageError, match="value range"):
                read(encoded)

    def test_sixteen_bit_rgb_files_lose_their_low_byte(self):
        png = make_png(1, 1, b"\0\x12\xff\x34\x00\xfe\x80", bits=16)
        np.testing.assert_array_equal(read(png), [[[0x12, 0x34, 0xFE]]])


class TestOrientation:
    # Source: TIFF 6.0, tag 274: where row 0 and column 0 of the stored picture are displayed.
    DISPLAYED: ClassVar = {
        1: lambda stored: stored,
        2: lambda stored: stored[:, ::-1],
        3: lambda stored: stored[::-1, ::-1],
        4: lambda stored: stored[::-1],
        5: lambda stored: stored.transpose(1, 0, 2),
        6: lambda stored: stored.transpose(1, 0, 2)[:, ::-1],
        7: lambda stored: stored.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda stored: stored.transpose(1, 0, 2)[::-1],
    }

    @pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
    @pytest.mark.parametrize("orientation", DISPLAYED)
    def test_files_and_pil_images_are_turned(self, picture, photo, format, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"lossless": True} if format == "WEBP" else {}
        encoded = encode(picture, format, exif=exif, **options)
        for source in (encoded, Image.open(io.BytesIO(encoded))):
            image = read_image(source, LIMITS)
            np.testing.assert_array_equal(image.array_hwc, self.DISPLAYED[orientation](photo))
            assert image.stored_size == (6, 8)
            assert image.size == ((6, 8) if orientation < 5 else (8, 6))

    def test_jpeg_is_turned(self, picture):
        exif = Image.Exif()
        exif[0x0112] = 6
        upright = read(encode(picture, "JPEG"))
        turned = read(encode(picture, "JPEG", exif=exif))
        np.testing.assert_array_equal(turned, np.rot90(upright, k=-1))

    def test_pil_image_is_left_as_it_was(self, picture):
        exif = Image.Exif()
        exif[0x0112] = 6
        image = Image.open(io.BytesIO(encode(picture, "PNG", exif=exif)))
        read(image)
        assert image.size == (8, 6)
        assert image.getexif()[0x0112] == 6


class TestFrames:
    @pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "GIF"])
    def test_several_frames_are_refused(self, picture, format):
        other = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        encoded = encode(picture, format, save_all=True, append_images=[other])
        image = Image.open(io.BytesIO(encoded))
        assert image.n_frames == 2
        sources = [image] if format == "GIF" else [image, encoded]
        for source in sources:
            with pytest.raises(UnsupportedImageError, match="several frames"):
                read(source)

    def test_one_of_several_frames(self, picture, photo):
        encoded = encode(picture, "TIFF", save_all=True, append_images=[picture.rotate(180)])
        image = Image.open(io.BytesIO(encoded))
        image.seek(1)
        np.testing.assert_array_equal(read(image.copy()), photo[::-1, ::-1])

    def test_photo_with_a_preview_is_one_picture(self, picture):
        preview = picture.resize((4, 3))
        encoded = encode(picture, "MPO", save_all=True, append_images=[preview])
        image = Image.open(io.BytesIO(encoded))
        assert (image.format, image.n_frames) == ("MPO", 2)
        np.testing.assert_array_equal(read(encoded), np.asarray(image))
        np.testing.assert_array_equal(read(image), np.asarray(image))


SEEDS = [
    encode(Image.effect_mandelbrot((20, 16), (-2, -1, 1, 1), 20).convert(mode), format, **options)
    for format, mode, options in [
        ("JPEG", "RGB", {"exif": bytes(Image.Exif())}),
        ("JPEG", "CMYK", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {"transparency": 3}),
        ("WEBP", "RGBA", {}),
        ("BMP", "RGB", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "L", {}),
    ]
]


class TestMutations:
    @settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.data())
    def test_only_invalid_image_errors(self, data):
        encoded = bytearray(data.draw(st.sampled_from(SEEDS)))
        for _ in range(data.draw(st.integers(1, 6))):
            position = data.draw(st.integers(0, len(encoded) - 1))
            encoded[position] = data.draw(st.integers(0, 255))
        try:
            image = read_image(bytes(encoded), ImageLimits(max_pixels=10_000))
        except InvalidImageError:
            return
        assert len(image.pixels) == image.size[0] * image.size[1] * 3 <= 30_000
