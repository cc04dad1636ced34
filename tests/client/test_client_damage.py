"""Strict decoding: JPEGs that libjpeg decodes with a warning, which Pillow does not pass on.

What libjpeg says is heard through OpenCV, which prints it.
"""

from __future__ import annotations

import io
import os
import tempfile

import cv2
import numpy as np
import pytest
from PIL import Image

from tritonseg import ConfigurationError, ImageDecodeError, ImageLimits, InvalidImageError
from tritonseg import load_image as load
from tritonseg._pictures.image import read_sendable
from tritonseg._pictures.picture import RgbImage

STRICT = ImageLimits(strict=True)
KINDS = {
    "baseline": {},
    "4:4:4": {"quality": 95, "subsampling": 0},
    "optimized": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts by row": {"restart_marker_rows": 1},
    "restarts by three": {"restart_marker_blocks": 3},
    "progressive with restarts": {"progressive": True, "restart_marker_rows": 2},
    "quality 20": {"quality": 20},
}


def scene(height: int, width: int, *, noise: float = 6, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([columns * 255 / width, rows * 255 / height, rows * 0 + 90.0], axis=-1)
    for _ in range(30):
        row, column = rng.integers(0, height), rng.integers(0, width)
        image[row : row + height // 6, column : column + width // 6] = rng.integers(0, 256, 3)
    noisy = image + rng.normal(0, noise, image.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def is_refused(jpeg: bytes) -> bool:
    try:
        load(jpeg, limits=STRICT)
    except ImageDecodeError as error:
        assert "the JPEG is damaged" in str(error)  # noqa: PT017
        return True
    return False


def libjpeg_warns(jpeg: bytes) -> bool:
    with tempfile.TemporaryFile() as heard:
        stderr = os.dup(2)
        os.dup2(heard.fileno(), 2)
        try:
            cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        heard.seek(0)
        return b"JPEG" in heard.read()


def coded_start(jpeg: bytes) -> int:
    at = jpeg.index(b"\xff\xda")
    return at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_taken_as_ever(kind):
    for size in ((1, 1), (8, 8), (9, 17), (64, 96), (131, 203)):
        for mode in ("RGB", "L", "CMYK"):
            for noise in (0, 3, 30):
                jpeg = encode(scene(*size, noise=noise).convert(mode), **KINDS[kind])
                np.testing.assert_array_equal(load(jpeg, limits=STRICT), load(jpeg))


def test_flat_pictures_are_whole_too():
    for color in (0, 128, 255):
        jpeg = encode(Image.new("RGB", (640, 480), (color,) * 3))
        assert not is_refused(jpeg)
        assert not is_refused(jpeg + b"trailing garbage")


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_found_where_libjpeg_finds_it_and_nowhere_else(kind):
    jpeg = encode(scene(200, 333), **KINDS[kind])
    rng = np.random.default_rng(1)
    both = warned = 0
    for position in np.linspace(coded_start(jpeg), len(jpeg) - 3, 120).astype(int):
        damaged = bytearray(jpeg)
        damaged[position] ^= 1 << int(rng.integers(0, 8))
        try:
            load(bytes(damaged))
        except InvalidImageError:
            continue
        warns, refused = libjpeg_warns(bytes(damaged)), is_refused(bytes(damaged))
        assert warns or not refused
        warned, both = warned + warns, both + refused
    assert warned >= 5
    assert both >= 0.8 * warned


@pytest.mark.parametrize("kind", KINDS)
def test_a_sector_that_was_lost_or_overwritten_is_found(kind):
    """By zeros, noise, or nothing. The last scan of a progressive JPEG, half of the file, holds the
    lowest bits of coefficients: zeros there are bits like others."""
    length = 512
    jpeg = encode(scene(300, 400, noise=12), **KINDS[kind])
    noise = np.random.default_rng(2).integers(0, 255, length, np.uint8).tobytes()
    outcomes = []
    for position in np.linspace(coded_start(jpeg), len(jpeg) - length - 3, 12).astype(int):
        for instead in (bytes(length), noise, b""):
            damaged = jpeg[:position] + instead + jpeg[position + length :]
            try:
                load(damaged)
            except InvalidImageError:
                continue
            outcomes.append(is_refused(damaged))
    assert len(outcomes) >= 12
    assert np.mean(outcomes) >= (0.5 if "progressive" in kind else 0.9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.4, 0.8, 0.99])
def test_a_cut_off_file_with_an_end_marker_is_found(kind, kept):
    """Grey from where the data end, as repair tools and broken cameras leave it."""
    jpeg = encode(scene(200, 333), **KINDS[kind])
    cut = jpeg[: int(kept * len(jpeg))].rstrip(b"\xff") + b"\xff\xd9"
    assert load(cut).shape == (200, 333, 3)
    assert is_refused(cut)


def test_a_file_cut_off_at_a_restart_is_found():
    jpeg = encode(scene(200, 333), restart_marker_rows=1)
    assert is_refused(jpeg[: jpeg.index(b"\xff\xd4")] + b"\xff\xd9")
    first, second = jpeg.index(b"\xff\xd2"), jpeg.index(b"\xff\xd3")
    assert is_refused(jpeg[:first] + jpeg[second:])


def test_a_missing_end_marker_is_found():
    jpeg = encode(scene(64, 96), progressive=True)
    with pytest.raises(ImageDecodeError):
        load(jpeg[:-2], limits=STRICT)


def test_other_formats_and_pil_images_are_taken_as_they_are():
    picture = scene(30, 40)
    for format in ("PNG", "WEBP", "TIFF", "BMP"):
        buffer = io.BytesIO()
        picture.save(buffer, format)
        np.testing.assert_array_equal(
            load(buffer.getvalue(), limits=STRICT), load(buffer.getvalue())
        )
    np.testing.assert_array_equal(load(picture, limits=STRICT), np.asarray(picture))


def test_a_photo_with_a_preview_is_checked_by_itself():
    buffer = io.BytesIO()
    scene(64, 96).save(buffer, "MPO", save_all=True, append_images=[scene(32, 48)])
    assert not is_refused(buffer.getvalue())


def test_what_is_checked_here_is_sent_as_pixels():
    jpeg = encode(scene(64, 96))
    assert isinstance(read_sendable(jpeg, STRICT), RgbImage)


def test_the_switch_is_a_switch():
    assert ImageLimits().strict is False
    with pytest.raises(ConfigurationError, match="strict must be True or False"):
        ImageLimits(strict="yes")
