"""Which files travel as they are: by the header alone, and by what a server really decodes."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tritonseg import (
    ImageDecodeError,
    ImageLimits,
    ImageTooLargeError,
    InvalidImageError,
    UnsupportedImageError,
)
from tritonseg._pictures import header as _header
from tritonseg._pictures.image import read_image, read_sendable
from tritonseg._pictures.picture import EncodedImage, RgbImage
from tritonseg_steps.encoded_image import EncodedImageError, decode_rgb

LIMITS = ImageLimits()
PICTURE = Image.effect_mandelbrot((20, 16), (-2, -1, 1, 1), 20)
TURNED = PICTURE.rotate(180).convert("RGB")
FORMATS = ("JPEG", "PNG", "WEBP")


def encode(mode: str, format: str, *, orientation: int | None = None, **options) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
        options["exif"] = exif
    image = PICTURE.convert(mode)
    if mode == "RGBA":
        image.putalpha(PICTURE)
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_late_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """Put a chunk between a PNG's pixels and its end, where Pillow reads it on decoding."""
    end = len(png) - 12
    assert png[end + 4 : end + 8] == b"IEND"
    return png[:end] + chunk(kind, body) + png[end:]


def with_xmp(jpeg: bytes) -> bytes:
    segment = b"http://ns.adobe.com/xap/1.0/\0" + XMP.encode()
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def as_palette_png(gray_png: bytes) -> bytes:
    """Let the header speak of a palette, which the file does not have."""
    header = bytearray(gray_png[16:29])
    header[9] = 3
    return gray_png[:8] + chunk(b"IHDR", bytes(header)) + gray_png[33:]


EXIF = Image.Exif()
EXIF[0x0112] = 6
EXIF_TEXT = "\nexif\n30\n" + EXIF.tobytes().hex()
TEXT_CHUNK = PngImagePlugin.PngInfo()
TEXT_CHUNK.add_text("Raw profile type exif", EXIF_TEXT)
XMP = '<x:xmpmeta tiff:Orientation="6"/>'
XMP_CHUNK = PngImagePlugin.PngInfo()
XMP_CHUNK.add_itxt("XML:com.adobe.xmp", XMP)

SENDABLE = {
    "JPEG": encode("RGB", "JPEG"),
    "progressive JPEG": encode("RGB", "JPEG", progressive=True),
    "grey JPEG": encode("L", "JPEG"),
    "JPEG with a preview": encode("RGB", "MPO", save_all=True, append_images=[TURNED]),
    "PNG": encode("RGB", "PNG"),
    "grey PNG": encode("L", "PNG"),
    "palette PNG": encode("P", "PNG"),
    "1-bit PNG": encode("1", "PNG"),
    "turned PNG that says so twice": encode("RGB", "PNG", orientation=6, pnginfo=XMP_CHUNK),
    "PNG with late text": with_late_chunk(encode("RGB", "PNG"), b"tEXt", b"Comment\0by hand"),
    "WebP": encode("RGB", "WEBP"),
    "lossless WebP": encode("RGB", "WEBP", lossless=True),
}

FALLING_BACK = {
    "BMP": encode("RGB", "BMP"),
    "TIFF": encode("RGB", "TIFF"),
    "CMYK JPEG": encode("CMYK", "JPEG"),
    "CMYK TIFF": encode("CMYK", "TIFF"),
    "PNG with alpha": encode("RGBA", "PNG"),
    "grey PNG with alpha": encode("LA", "PNG"),
    "PNG with a transparent colour": encode("RGB", "PNG", transparency=(0, 0, 0)),
    "PNG with a transparent grey": encode("L", "PNG", transparency=0),
    "PNG with a transparent palette entry": encode("P", "PNG", transparency=3),
    "WebP with alpha": encode("RGBA", "WEBP", lossless=True),
}

REFUSED = {
    "text": (b"<html>", ImageDecodeError),
    "nothing": (b"", ImageDecodeError),
    "GIF": (encode("L", "GIF"), ImageDecodeError),
    "signature alone": (b"\x89PNG\r\n\x1a\n", ImageDecodeError),
    "palette PNG without a palette": (as_palette_png(encode("L", "PNG")), ImageDecodeError),
    "16-bit grey PNG": (encode("I;16", "PNG"), UnsupportedImageError),
    "animated PNG": (
        encode("RGB", "PNG", save_all=True, append_images=[TURNED]),
        UnsupportedImageError,
    ),
    "animated WebP": (
        encode("RGB", "WEBP", save_all=True, append_images=[TURNED]),
        UnsupportedImageError,
    ),
}

PNG_WITH_AFTERTHOUGHTS = {
    "orientation": (b"eXIf", EXIF.tobytes().removeprefix(b"Exif\0\0")),
    "transparent colour": (b"tRNS", struct.pack(">HHH", *[PICTURE.getpixel((0, 0))] * 3)),
    "orientation of old": (b"tEXt", b"Raw profile type exif\0" + EXIF_TEXT.encode()),
    "orientation in XMP": (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.encode()),
}


@pytest.mark.parametrize("name", SENDABLE)
def test_what_is_sent_is_the_file_and_what_is_decoded_there_is_what_would_be_here(name):
    encoded = SENDABLE[name]
    picture, pixels = read_sendable(encoded, LIMITS), read_image(encoded, LIMITS)
    assert isinstance(picture, EncodedImage)
    assert picture.encoded == encoded
    assert (picture.size, picture.stored_size) == (pixels.size, pixels.stored_size)
    np.testing.assert_array_equal(decode_rgb(encoded), pixels.array_hwc)
    np.testing.assert_array_equal(picture.array_hwc, pixels.array_hwc)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_that_of_the_displayed_frame(format, orientation):
    encoded = encode("RGB", format, orientation=orientation)
    picture = read_sendable(encoded, LIMITS)
    assert isinstance(picture, EncodedImage)
    assert picture.size == decode_rgb(encoded).shape[:2]
    assert picture.size == ((16, 20) if orientation < 5 else (20, 16))
    assert picture.stored_size == (16, 20)


@pytest.mark.parametrize("name", FALLING_BACK)
def test_what_the_server_would_refuse_is_decoded_here(name):
    encoded = FALLING_BACK[name]
    with pytest.raises(EncodedImageError, match="send the pixels as IMAGE"):
        decode_rgb(encoded)
    assert read_sendable(encoded, LIMITS) == read_image(encoded, LIMITS)


@pytest.mark.parametrize("name", PNG_WITH_AFTERTHOUGHTS)
def test_png_that_says_something_behind_its_pixels_is_decoded_here(name):
    plain = encode("RGB", "PNG")
    encoded = with_late_chunk(plain, *PNG_WITH_AFTERTHOUGHTS[name])
    pixels = read_image(encoded, LIMITS)
    assert pixels != read_image(plain, LIMITS)
    assert read_sendable(encoded, LIMITS) == pixels


@pytest.mark.parametrize(
    "encoded",
    [
        encode("RGB", "PNG", pnginfo=XMP_CHUNK),
        encode("RGB", "PNG", pnginfo=TEXT_CHUNK),
        with_xmp(encode("RGB", "JPEG")),
        encode("RGB", "WEBP", xmp=XMP.encode()),
        encode("RGB", "JPEG", orientation=6).replace(b"MM\0*", b"MM\0?"),
    ],
    ids=["PNG", "old PNG", "JPEG", "WebP", "corrupt EXIF"],
)
def test_picture_that_not_every_release_of_pillow_turns_is_decoded_here(encoded):
    assert read_sendable(encoded, LIMITS) == read_image(encoded, LIMITS)


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_transport_takes(name):
    encoded, error = REFUSED[name]
    for read in (read_image, read_sendable):
        with pytest.raises(error):
            read(encoded, LIMITS)


@pytest.mark.parametrize("source", [np.zeros((4, 5, 3), np.uint8), PICTURE])
def test_what_is_no_file_has_only_pixels(source):
    assert isinstance(read_sendable(source, LIMITS), RgbImage)


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_pixels_are_neither_needed_nor_looked_at(format):
    encoded = encode("RGB", format)
    pixels_start = encoded.index(b"IDAT" if format == "PNG" else b"\xff\xda")
    header = encoded[: pixels_start + 20]
    picture = read_sendable(header, LIMITS)
    assert picture.size == (16, 20)
    with pytest.raises(ImageDecodeError, match="cannot decode"):
        _ = picture.array_hwc


class TestLimits:
    @pytest.mark.parametrize("format", FORMATS)
    def test_the_clients_own_hold_as_for_pixels(self, format):
        encoded = encode("RGB", format)
        with pytest.raises(ImageTooLargeError, match=r"16×20 = 320 pixels"):
            read_sendable(encoded, ImageLimits(max_pixels=319))
        with pytest.raises(ImageTooLargeError, match="bytes"):
            read_sendable(encoded, ImageLimits(max_bytes=len(encoded) - 1))
        with pytest.raises(ImageDecodeError, match="formats TIFF"):
            read_sendable(encoded, ImageLimits(formats=("TIFF",)))

    @pytest.mark.parametrize("format", FORMATS)
    def test_over_the_servers_the_pixels_are_sent(self, monkeypatch, format):
        encoded = encode("RGB", format)
        for name, limit in (("MAX_PIXELS", 320), ("MAX_BYTES", len(encoded))):
            with monkeypatch.context() as patch:
                patch.setattr(_header, name, limit)
                assert isinstance(read_sendable(encoded, LIMITS), EncodedImage)
                patch.setattr(_header, name, limit - 1)
                assert isinstance(read_sendable(encoded, LIMITS), RgbImage)

    def test_errors_name_the_file(self, tmp_path):
        path = tmp_path / "street.png"
        path.write_bytes(encode("RGB", "PNG")[:60])
        picture = read_sendable(path, LIMITS)
        with pytest.raises(ImageDecodeError, match=r"street\.png"):
            _ = picture.rgb
        path.write_bytes(b"<html>")
        with pytest.raises(ImageDecodeError, match=r"street\.png"):
            read_sendable(path, LIMITS)


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except (InvalidImageError, EncodedImageError) as error:
        return error


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_mutated_files_come_to_the_same_end_by_both_ways(data):
    files = st.sampled_from([*SENDABLE.values(), *FALLING_BACK.values()])
    encoded = bytearray(data.draw(files))
    for _ in range(data.draw(st.integers(0, 6))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    limits = ImageLimits(max_pixels=10_000)
    pixels = outcome(read_image, bytes(encoded), limits)
    picture = outcome(read_sendable, bytes(encoded), limits)
    if not isinstance(picture, EncodedImage):
        assert type(picture) is type(pixels)
        assert isinstance(picture, Exception) or picture == pixels
        return
    there = outcome(decode_rgb, bytes(encoded))
    if isinstance(pixels, InvalidImageError):
        assert isinstance(there, EncodedImageError)
    else:
        assert (picture.size, picture.stored_size) == (pixels.size, pixels.stored_size)
        np.testing.assert_array_equal(there, pixels.array_hwc)
