"""One frame of several, as a caller chooses it."""

from __future__ import annotations

import io

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from icc_profiles import DISPLAY_P3
from picture_kinds import COLORS, HAS_AVIF, JPEG, PICTURE, SMOOTH, encode, turned
from tritonseg import ConfigurationError, ImageLimits, ImageTooLargeError, UnsupportedImageError
from tritonseg import load_image as load

pillow_heif.register_heif_opener()
FRAMES = [PICTURE, PICTURE.rotate(180), PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
EXACT = {
    "PNG": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
}
NEARLY = {"HEIF": {"quality": 100, "chroma": 444}}
if HAS_AVIF:
    NEARLY["AVIF"] = {"quality": 100, "subsampling": "4:4:4"}


def several(format: str, frames: list[Image.Image], **options) -> bytes:
    return encode(frames[0], format, save_all=True, append_images=frames[1:], **options)


@pytest.mark.parametrize("format", EXACT)
def test_every_frame(format):
    encoded = several(format, FRAMES, **EXACT[format])
    with pytest.raises(UnsupportedImageError, match=r"load_image\(source, frame=0\)"):
        load(encoded)
    for index, frame in enumerate(FRAMES):
        np.testing.assert_array_equal(load(encoded, frame=index), np.asarray(frame))


@pytest.mark.parametrize("format", NEARLY)
def test_every_frame_of_lossy_formats(format):
    frames = [SMOOTH, SMOOTH.rotate(180)]
    encoded = several(format, frames, **NEARLY[format])
    for index, frame in enumerate(frames):
        assert np.abs(load(encoded, frame=index).astype(int) - np.asarray(frame)).mean() < 3
    with pytest.raises(UnsupportedImageError, match=r"frame 2, counted from 0; this one has 2"):
        load(encoded, frame=2)


@pytest.mark.parametrize("format", EXACT)
def test_frames_that_are_not_there(format):
    encoded = several(format, FRAMES, **EXACT[format])
    for frame in (3, 10**9):
        with pytest.raises(UnsupportedImageError, match=rf"frame {frame}, .* this one has 3"):
            load(encoded, frame=frame)


def test_a_picture_alone_is_frame_0():
    np.testing.assert_array_equal(load(JPEG, frame=0), load(JPEG))
    with pytest.raises(UnsupportedImageError, match="this one has 1"):
        load(JPEG, frame=1)


@pytest.mark.parametrize("frame", [-1, 1.0, "0", True, np.int64(0)])
def test_what_is_no_frame(frame):
    with pytest.raises(ConfigurationError, match="frame"):
        load(JPEG, frame=frame)


def test_pil_images_and_arrays_have_none():
    with Image.open(io.BytesIO(several("TIFF", FRAMES))) as image:
        with pytest.raises(ConfigurationError, match=r"image\.copy\(\) after image\.seek"):
            load(image, frame=1)
        image.seek(1)
        np.testing.assert_array_equal(load(image.copy()), np.asarray(FRAMES[1]))
    with pytest.raises(ConfigurationError, match="frame is of files"):
        load(COLORS, frame=0)


class TestPagesOfTiff:
    def test_have_sizes_of_their_own(self):
        """As a map with overviews has: the second page fits where the first does not."""
        encoded = several("TIFF", [SMOOTH, PICTURE])
        limits = ImageLimits(max_pixels=PICTURE.width * PICTURE.height)
        np.testing.assert_array_equal(load(encoded, frame=1, limits=limits), COLORS)
        with pytest.raises(ImageTooLargeError):
            load(encoded, frame=0, limits=limits)

    def test_have_profiles_of_their_own(self):
        first = PICTURE.copy()
        first.info["icc_profile"] = DISPLAY_P3
        for frames, plain in (([first, PICTURE], 1), ([PICTURE, first], 0)):
            encoded = several("TIFF", frames)
            np.testing.assert_array_equal(load(encoded, frame=plain), COLORS)
            assert not np.array_equal(load(encoded, frame=1 - plain), COLORS)

    def test_are_turned(self):
        encoded = several("TIFF", FRAMES, exif=turned())
        np.testing.assert_array_equal(load(encoded, frame=0), np.rot90(COLORS, k=-1))

    def test_are_checked_on_their_own(self):
        encoded = several("TIFF", [PICTURE, Image.new("I;16", (4, 3))])
        np.testing.assert_array_equal(load(encoded, frame=0), COLORS)
        with pytest.raises(UnsupportedImageError, match="value_range"):
            load(encoded, frame=1)
        assert load(encoded, frame=1, value_range=(0, 65535)).shape == (3, 4, 3)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_a_truncated_animation(format):
    noise = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8)
    encoded = several(format, [Image.fromarray(frame) for frame in noise], **EXACT[format])
    with pytest.raises(ValueError, match="picture"):
        load(encoded[: len(encoded) * 2 // 3], frame=2)
