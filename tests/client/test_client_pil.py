"""PIL images of the caller's are what their files are, passed once or twice, loaded or not."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tritonseg import UnsupportedImageError, load_image

COLOR_MAP = 320  # a tag of TIFF 6.0
COLORS = np.random.default_rng(3).integers(0, 256, (12, 16, 3), np.uint8)


def png(pixels: np.ndarray, color_type: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A 16-bit PNG of `(H, W, C)` uint16, written out by the format's definition."""
    height, width, _ = pixels.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


TWELVE_BITS = png(COLORS.astype(np.uint16) << 4, 2)
TRANSPARENT_COLOR = png(
    np.full((4, 4, 3), 0x1234, np.uint16), 2, (b"tRNS", struct.pack(">3H", *[0x1234] * 3))
)
REFUSED = pytest.mark.parametrize(
    "encoded", [TWELVE_BITS, TRANSPARENT_COLOR], ids=["12 bits", "transparent colour"]
)


@REFUSED
def test_is_refused_as_often_as_it_is_passed(encoded: bytes) -> None:
    image = Image.open(io.BytesIO(encoded))
    for _ in range(3):
        with pytest.raises(UnsupportedImageError):
            load_image(image)


@REFUSED
def test_is_refused_where_it_was_loaded_from_a_file(encoded: bytes, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(encoded)
    image = Image.open(tmp_path / "picture.png")
    image.load()
    with pytest.raises(UnsupportedImageError):
        load_image(image)


def test_is_left_as_it_was() -> None:
    encoded = io.BytesIO()
    Image.fromarray(COLORS).save(encoded, "PNG")
    image = Image.open(encoded)
    first, second = load_image(image), load_image(image)
    np.testing.assert_array_equal(first, COLORS)
    np.testing.assert_array_equal(second, COLORS)
    assert image.tile  # not loaded


def test_what_was_painted_on_it_is_seen(tmp_path: Path) -> None:
    Image.fromarray(COLORS).save(tmp_path / "picture.png")
    image = Image.open(tmp_path / "picture.png")
    image.putpixel((0, 0), (1, 2, 3))
    assert load_image(image)[0, 0].tolist() == [1, 2, 3]


def test_a_smaller_draft_stays_small(tmp_path: Path) -> None:
    Image.fromarray(COLORS).resize((640, 480)).save(tmp_path / "picture.jpg")
    image = Image.open(tmp_path / "picture.jpg")
    image.draft("RGB", (160, 120))
    assert load_image(image).shape == (120, 160, 3)


def test_a_tiff_palette_of_8_bits_is_refused() -> None:
    """The format's palettes have 16 bits; Pillow shows one of 8 black."""
    indices, buffer = Image.fromarray(COLORS[..., 0]), io.BytesIO()
    indices.putpalette(list(range(256)) * 3)
    indices.save(buffer, "TIFF")
    levels = Image.open(buffer).tag_v2[COLOR_MAP]
    wide, narrow = (
        struct.pack(f"<{len(levels)}H", *values) for values in (levels, [v >> 8 for v in levels])
    )
    encoded = buffer.getvalue()
    assert encoded.count(wide) == 1
    load_image(encoded)
    with pytest.raises(
        UnsupportedImageError, match=r"palette of 16-bit levels, got none above 2\d\d"
    ):
        load_image(encoded.replace(wide, narrow))
