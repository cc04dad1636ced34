"""What the server decodes, against the client's own reading; and what it refuses."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from tritonseg import load_image
from tritonseg_steps.encoded_image import EncodedImageError, decode_rgb

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (13, 21, 3), np.uint8)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("orientation", [1, 2, 3, 6, 8])
def test_pixels_are_those_that_the_client_would_send(
    kind: str, mode: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = encoded(Image.fromarray(PIXELS).convert(mode), kind, exif=exif)
    decoded = decode_rgb(file)
    assert decoded.dtype == np.uint8
    assert decoded.shape == ((21, 13, 3) if orientation in (6, 8) else (13, 21, 3))
    assert np.array_equal(decoded, load_image(file))


@pytest.mark.parametrize("mode", ["P", "1"])
def test_indexed_pixels_become_colours(mode: str) -> None:
    file = encoded(Image.fromarray(PIXELS).convert(mode), "PNG")
    assert np.array_equal(decode_rgb(file), load_image(file))


def test_lossless_files_come_back_as_they_were() -> None:
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        assert np.array_equal(decode_rgb(encoded(Image.fromarray(PIXELS), kind, **options)), PIXELS)


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png(
    width: int, height: int, *, color_type: int = 2, size: int = 100, end: bytes = b""
) -> bytes:
    """A PNG that claims a size, with some bytes of pixels, and chunks behind them."""
    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(size)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + end + chunk(b"IEND", b"")


TRANSPARENT = Image.fromarray(np.dstack([PIXELS, PIXELS[..., :1]]), "RGBA")
INDEXED = Image.fromarray(PIXELS).convert("P")
FRAMES = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1].copy())]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"", "one of the formats JPEG, PNG, WebP, got something else \\(0 bytes\\)"),
        (b"<html>", "got something else"),
        (encoded(FRAMES[0], "BMP"), "got something else"),
        (b"\xff\xd8\xff" + bytes(50), "header of the JPEG file|cannot be decoded"),
        (png(9000, 9000), "expected 1 to 32000000 pixels, got 9000x9000"),
        (png(0, 4), "pixels|header"),
        (png(40, 30), "cut off or corrupt"),
        (png(1, 1, color_type=3, size=2), "cut off or corrupt"),
        (png(1, 1, size=4, end=chunk(b"tRNS", bytes(6))), "got mode RGB with transparency"),
        (bytes(20_000_001), "expected at most 20000000 bytes, got 20000001"),
        (encoded(TRANSPARENT, "PNG"), "got mode RGBA with transparency; send the pixels"),
        (encoded(TRANSPARENT, "WEBP"), "got mode RGBA"),
        (encoded(INDEXED, "PNG", transparency=3), "got mode P with transparency"),
        (encoded(FRAMES[0].convert("CMYK"), "JPEG"), "got mode CMYK"),
        (encoded(Image.fromarray(PIXELS[..., 0].astype(np.uint16)), "PNG"), "got mode I;16"),
        (encoded(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]), "several frames"),
        (encoded(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]), "several frames"),
    ],
)  # fmt: skip
def test_everything_else_is_refused(file: bytes, message: str) -> None:
    with pytest.raises(EncodedImageError, match=message) as caught:
        decode_rgb(file)
    assert "0x7" not in str(caught.value)  # Pillow's own texts hold addresses


FILES = [
    encoded(Image.fromarray(PIXELS), kind, **options)
    for kind, options in (("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True}))
]


@settings(max_examples=200, deadline=None)
@given(
    file=st.sampled_from(FILES),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), max_size=4),
)
def test_damaged_files_decode_or_are_refused_and_nothing_else(
    file: bytes, cut: float, flips: list[tuple[float, int]]
) -> None:
    damaged = bytearray(file[: int(cut * len(file))] if cut < 0.5 else file)
    for where, value in flips:
        if damaged:
            damaged[int(where * len(damaged))] ^= value
    try:
        decoded = decode_rgb(bytes(damaged))
    except EncodedImageError:
        return
    assert decoded.ndim == 3
    assert decoded.shape[2] == 3
