"""ICC profiles, against the formulas of the colour spaces; what a server does about them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from icc_profiles import (
    ADOBE_PRIMARIES,
    ADOBE_RGB,
    CYAN_LAB,
    DISPLAY_P3,
    MAGENTA_LAB,
    P3_PRIMARIES,
    SRGB,
    SRGB_PRIMARIES,
    cmyk_profile,
    gray_profile,
    lab_as_srgb,
    rgb_profile,
    shown_as_srgb,
    srgb_encoded,
)
from tritonseg import ImageLimits, UnsupportedImageError, load_image
from tritonseg._pictures import color as _color
from tritonseg._pictures import header as _header
from tritonseg._pictures.image import read_image, read_sendable
from tritonseg._pictures.picture import EncodedImage, RgbImage
from tritonseg_steps import color_profile
from tritonseg_steps.encoded_image import EncodedImageError, decode_rgb

LIMITS = ImageLimits()
COLORS = np.random.default_rng(3).integers(0, 256, (24, 32, 3), np.uint8)
PICTURE = Image.fromarray(COLORS)
GRAYS = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(8, 32))


def encode(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def tagged(image: Image.Image, profile: bytes | None) -> Image.Image:
    image = image.copy()
    image.info["icc_profile"] = profile
    return image


@pytest.mark.parametrize(
    ("profile", "primaries", "gamma"),
    [
        (DISPLAY_P3, P3_PRIMARIES, None),
        (ADOBE_RGB, ADOBE_PRIMARIES, 563 / 256),
        (rgb_profile(SRGB_PRIMARIES, 1.8), SRGB_PRIMARIES, 461 / 256),
    ],
    ids=["Display P3", "Adobe RGB", "gamma 1.8"],
)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "PIL"])
def test_colours_are_those_of_the_profile(profile, primaries, gamma, format):
    lossless = {"lossless": True} if format == "WEBP" else {}
    source = (
        tagged(PICTURE, profile)
        if format == "PIL"
        else encode(PICTURE, format, icc_profile=profile, **lossless)
    )
    expected = shown_as_srgb(COLORS, primaries, gamma)
    assert np.abs(expected - COLORS).mean() > 4  # so much is wrong without
    got = load_image(source).astype(float)
    assert np.abs(got - expected).max() <= 2
    assert np.abs(got - expected).mean() < 0.5


def test_jpeg_and_its_turn():
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth = Image.fromarray(COLORS[:3, :4]).resize((64, 48))
    bare = load_image(encode(smooth, "JPEG", exif=exif))
    got = load_image(encode(smooth, "JPEG", exif=exif, icc_profile=DISPLAY_P3))
    assert got.shape == (64, 48, 3)
    assert np.abs(got - shown_as_srgb(bare, P3_PRIMARIES)).max() <= 2


def test_palette_and_transparency_come_before_the_profile():
    indexed = PICTURE.quantize(16)
    bare = np.asarray(indexed.convert("RGB"))
    got = load_image(encode(indexed, icc_profile=DISPLAY_P3))
    assert np.abs(got - shown_as_srgb(bare, P3_PRIMARIES)).max() <= 2

    alpha = np.zeros((24, 32), np.uint8)
    alpha[:12] = 255
    glass = Image.fromarray(np.dstack([COLORS, alpha]))
    got = load_image(
        encode(glass, icc_profile=DISPLAY_P3), limits=ImageLimits(background=(9, 200, 30))
    )
    assert np.abs(got[:12] - shown_as_srgb(COLORS[:12], P3_PRIMARIES)).max() <= 2
    assert (got[12:] == (9, 200, 30)).all()  # the background is sRGB already


@pytest.mark.parametrize("source", [GRAYS, GRAYS.convert("LA")], ids=["grey", "with alpha"])
def test_gray_profiles(source):
    got = load_image(encode(source, icc_profile=gray_profile(1.8)))
    expected = 255 * srgb_encoded((np.asarray(GRAYS) / 255) ** (461 / 256))
    assert (got == got[..., :1]).all()
    assert np.abs(got[..., 0] - expected).max() <= 2


@pytest.mark.parametrize("form", ["TIFF", "PIL", "JPEG"])
def test_cmyk_is_converted_by_its_profile(form):
    inks = np.zeros((16, 48, 4), np.uint8)
    inks[:, 16:32, 0], inks[:, 32:, 1] = 255, 255
    image = Image.frombytes("CMYK", (48, 16), inks.tobytes())
    options = {"quality": 100} if form == "JPEG" else {}
    source = (
        tagged(image, cmyk_profile())
        if form == "PIL"
        else encode(image, form, icc_profile=cmyk_profile(), **options)
    )
    got = load_image(source)[8].astype(float)
    for column, lab in ((8, (100, 0, 0)), (24, CYAN_LAB), (40, MAGENTA_LAB)):
        assert np.abs(got[column] - lab_as_srgb(lab)).max() <= 4  # of Lab in 8 bits, and of inks


@pytest.mark.parametrize(
    ("image", "profile"),
    [
        (PICTURE, SRGB),
        (PICTURE, SRGB + b"\0" * 4),
        (PICTURE.quantize(16), SRGB),
        (GRAYS, gray_profile(None)),
        (GRAYS, SRGB),
        (GRAYS, DISPLAY_P3),
        (PICTURE, b""),
        (PICTURE, cmyk_profile()),
        (PICTURE, gray_profile(1.8)),
        (GRAYS, cmyk_profile()),
    ],
)
def test_profiles_that_are_srgb_or_of_other_pixels_change_nothing(image, profile):
    """By what they do, under whatever name; a CMYK profile in an RGB file is a leftover."""
    bare, named = encode(image), encode(tagged(image, profile))
    assert (b"iCCP" in named) == bool(profile)
    np.testing.assert_array_equal(load_image(named), load_image(bare))
    np.testing.assert_array_equal(load_image(tagged(image, profile)), load_image(bare))
    np.testing.assert_array_equal(decode_rgb(named), load_image(bare))
    sent = read_sendable(named, LIMITS)
    assert isinstance(sent, EncodedImage)


def test_a_profile_is_asked_once():
    _color._conversion.cache_clear()
    for _ in range(3):
        load_image(encode(PICTURE, icc_profile=SRGB))
    assert _color._conversion.cache_info().misses == 1


def with_lost_fragment(jpeg: bytes) -> bytes:
    """Let the ICC segment say that it is one of two."""
    at = jpeg.index(b"ICC_PROFILE\0") + 12
    return jpeg[: at + 1] + b"\2" + jpeg[at + 2 :]


BROKEN = {
    "no profile": encode(PICTURE, icc_profile=b"no profile at all"),
    "cut off": encode(PICTURE, "JPEG", icc_profile=DISPLAY_P3[:200]),
    "without curves": encode(PICTURE, icc_profile=DISPLAY_P3.replace(b"rTRC", b"xTRC")),
    "half of it": with_lost_fragment(encode(PICTURE, "JPEG", icc_profile=DISPLAY_P3)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_profiles_are_refused_for_the_colours_are_not_known(name):
    for read in (read_image, read_sendable):
        with pytest.raises(UnsupportedImageError, match="ICC profile that cannot be read"):
            read(BROKEN[name], LIMITS)
    with pytest.raises(EncodedImageError, match="ICC profile"):
        decode_rgb(BROKEN[name])


def late_profile(png: bytes, profile: bytes) -> bytes:
    body = b"iCCPlate\0\0" + zlib.compress(profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:-12] + chunk + png[-12:]


@pytest.mark.parametrize(
    "encoded",
    [
        encode(PICTURE, "JPEG", icc_profile=DISPLAY_P3),
        encode(PICTURE, icc_profile=ADOBE_RGB),
        encode(PICTURE, "WEBP", lossless=True, icc_profile=DISPLAY_P3),
        encode(GRAYS, icc_profile=gray_profile(1.8)),
        late_profile(encode(PICTURE), DISPLAY_P3),
    ],
    ids=["JPEG", "PNG", "WebP", "grey", "behind the pixels"],
)
def test_no_server_gets_a_file_whose_colours_it_would_not_show(encoded):
    with pytest.raises(EncodedImageError, match=r"ICC profile .*send the pixels"):
        decode_rgb(encoded)
    sent = read_sendable(encoded, LIMITS)
    assert isinstance(sent, RgbImage)
    assert sent == read_image(encoded, LIMITS)


def test_large_profiles_are_not_parsed_by_a_server():
    assert color_profile.MAX_PROFILE_BYTES == _header.MAX_PROFILE_BYTES
    assert color_profile.SRGB_TOLERANCE == _color.SRGB_TOLERANCE
    padded = SRGB + bytes(100_001 - len(SRGB))
    encoded = encode(PICTURE, icc_profile=padded)
    np.testing.assert_array_equal(load_image(encoded), COLORS)
    assert isinstance(read_sendable(encoded, LIMITS), RgbImage)
    with pytest.raises(EncodedImageError, match="ICC profile"):
        decode_rgb(encoded)
