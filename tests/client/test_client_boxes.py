"""AVIF and HEIC: what their boxes say beside what Pillow tells."""

from __future__ import annotations

import io
import re
import struct
import sys
import time

import numpy as np
import pillow_heif
import pytest
from PIL import Image, features

from picture_kinds import AVIF, HAS_AVIF, HEIC, KINDS, SMOOTH_PIXELS, encode
from tritonseg import ImageDecodeError, ImageLimits, ImageTooLargeError, UnsupportedImageError
from tritonseg import load_image as load
from tritonseg._pictures.image import read_sendable
from tritonseg._pictures.picture import RgbImage

pillow_heif.register_heif_opener()
needs_avif = pytest.mark.skipif(not HAS_AVIF, reason="this Pillow reads no AVIF")
NAMES = [pytest.param("AVIF", marks=needs_avif), "HEIC"]


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def with_codes(encoded: bytes, primaries: int, transfer: int) -> bytes:
    assert b"nclx" in encoded
    codes = b"nclx" + struct.pack(">HH", primaries, transfer)
    return re.sub(rb"nclx.{4}", codes, encoded, flags=re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
class TestColors:
    @pytest.mark.parametrize("codes", [(1, 13), (2, 2), (1, 1), (1, 6)])
    def test_srgb_and_unspecified(self, name, codes):
        read = load(with_codes(KINDS[name].encoded, *codes))
        assert np.abs(read.astype(int) - SMOOTH_PIXELS).max() <= 8

    @pytest.mark.parametrize(
        ("codes", "words"),
        [
            ((9, 16), "BT.2020.*PQ"),
            ((9, 18), "HLG"),
            ((1, 16), "PQ"),
            ((12, 13), "Display P3"),
            ((11, 13), "DCI-P3"),
            ((1, 8), "linear"),
            ((10, 4), "primaries 10 .*transfer 4"),
        ],
    )
    def test_others_are_refused(self, name, codes, words):
        with pytest.raises(UnsupportedImageError, match=words):
            load(with_codes(KINDS[name].encoded, *codes))

    def test_a_profile_comes_first(self, name):
        """As ISO/IEC 14496-12, 12.1.5, has it for readers that manage colours."""
        plain = KINDS[f"Display P3 {name}"]
        both = plain.encoded
        if name == "AVIF":  # libheif writes either the one or the other
            both = with_codes(both, 12, 13)
        read = load(both)
        assert np.abs(read.astype(int) - plain.shown_hwc).max() <= plain.levels


HDR = box(b"colr", b"nclx" + struct.pack(">HHHB", 9, 16, 9, 0x80))
CROP = box(b"clap", struct.pack(">8I", 32, 1, 32, 1, 0, 1, 0, 1))
ESSENTIAL = 0x80


def with_property(extra: bytes, *, instead_of: bytes | None) -> bytes:
    """Return the AVIF with a property more, that its picture has instead of another, or has not."""
    encoded = KINDS["AVIF"].encoded
    start = encoded.index(b"ipco") - 4
    (size,) = struct.unpack_from(">I", encoded, start)
    kinds, position = [], start + 8
    while position < start + size:
        (length,) = struct.unpack_from(">I", encoded, position)
        kinds.append(encoded[position + 4 : position + 8])
        position += length
    grown = bytearray(encoded[: start + size] + extra + encoded[start + size :])
    for kind in (b"meta", b"iprp", b"ipco"):
        place = grown.index(kind) - 4
        (length,) = struct.unpack_from(">I", grown, place)
        struct.pack_into(">I", grown, place, length + len(extra))
    if instead_of is not None:
        # One item of id 1: a count, then the numbers of its properties, one byte each.
        first = grown.index(b"ipma") + 15
        assert grown[first - 7 : first - 1] == b"\0\0\0\1\0\1"
        numbers = [number & 0x7F for number in grown[first : first + grown[first - 1]]]
        grown[first + numbers.index(kinds.index(instead_of) + 1)] = len(kinds) + 1 | ESSENTIAL
    # Where the coded data are, which moved.
    place = grown.index(struct.pack(">I", encoded.index(b"mdat") + 4), grown.index(b"iloc"))
    struct.pack_into(">I", grown, place, encoded.index(b"mdat") + 4 + len(extra))
    return bytes(grown)


@needs_avif
class TestProperties:
    @pytest.mark.parametrize("extra", [HDR, CROP])
    def test_of_something_else_than_the_picture(self, extra):
        """As the HDR rendition beside a picture has colours of its own."""
        read = load(with_property(extra, instead_of=None))
        np.testing.assert_array_equal(read, load(KINDS["AVIF"].encoded))

    def test_colors_of_the_picture(self):
        with pytest.raises(UnsupportedImageError, match="PQ"):
            load(with_property(HDR, instead_of=b"colr"))

    def test_a_crop_that_pillow_leaves_out(self):
        encoded = with_property(CROP, instead_of=b"colr")
        with Image.open(io.BytesIO(encoded)) as image:
            assert image.size == (64, 48)
        with pytest.raises(UnsupportedImageError, match="crop"):
            load(encoded)


@pytest.mark.parametrize("name", NAMES)
class TestLimits:
    def test_are_checked_on_the_header(self, name):
        options = ({"format": "AVIF", **AVIF}) if name == "AVIF" else ({"format": "HEIF", **HEIC})
        encoded = encode(Image.new("RGB", (3000, 2000)), **options)
        begin_s = time.monotonic()
        with pytest.raises(ImageTooLargeError, match="2000×3000"):
            load(encoded, limits=ImageLimits(max_pixels=5_000_000))
        assert time.monotonic() - begin_s < 0.1

    def test_formats_can_be_narrowed(self, name):
        with pytest.raises(ImageDecodeError, match="formats JPEG, got"):
            load(KINDS[name].encoded, limits=ImageLimits(formats=("JPEG",)))

    @pytest.mark.parametrize("kept", [0.3, 0.6, 0.95, 0.999])
    def test_truncated(self, name, kept):
        encoded = KINDS[name].encoded
        with pytest.raises(ImageDecodeError):
            load(encoded[: int(len(encoded) * kept)])

    def test_boxes_without_end(self, name):
        begin_s = time.monotonic()
        with pytest.raises(ImageDecodeError):
            load(KINDS[name].encoded[:32] + box(b"free", b"") * 2_000_000)
        assert time.monotonic() - begin_s < 3.0

    def test_travels_as_pixels(self, name):
        assert isinstance(read_sendable(KINDS[name].encoded, ImageLimits()), RgbImage)


@pytest.mark.parametrize("name", ["turned HEIC", "HEIC of several"])
def test_an_item_whose_type_is_no_text(name):
    """Which ends the process in pi-heif's binding, where it gets so far."""
    encoded = KINDS[name].encoded
    kind = b"Exif" if name == "turned HEIC" else b"hvc1"
    with pytest.raises(ImageDecodeError, match="no text"):
        load(encoded.replace(b"\0\0" + kind + b"\0", b"\0\0" + kind[:2] + b"\xff\xff\0", 1))


def test_without_pi_heif(monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(ImageDecodeError, match=r"pip install pi-heif.*\[heif\]"):
        load(KINDS["HEIC"].encoded)


def test_a_pillow_without_avif(monkeypatch):
    header = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"
    monkeypatch.setattr(features, "get_supported", lambda: ["webp"])
    with pytest.raises(ImageDecodeError, match=r"pip install 'pillow>=11.3'"):
        load(header)


def test_heic_by_another_brand():
    encoded = KINDS["HEIC"].encoded
    assert load(encoded[:8] + b"mif1" + encoded[12:]).shape == (48, 64, 3)
    with pytest.raises(ImageDecodeError, match="got something else"):
        load(b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(99))


@pytest.mark.parametrize("is_file", [True, False])
def test_a_pil_image_of_a_heic(is_file, tmp_path):
    path = tmp_path / "photo.heic"
    for name in ("HEIC", "HEIC in HDR"):
        path.write_bytes(KINDS[name].encoded)
        with Image.open(path if is_file else io.BytesIO(KINDS[name].encoded)) as image:
            if KINDS[name].refused:
                with pytest.raises(UnsupportedImageError, match="PQ"):
                    load(image)
            else:
                assert np.abs(load(image).astype(int) - SMOOTH_PIXELS).max() <= 8
