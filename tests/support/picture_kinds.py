"""One file of every kind that users have, and what it shows, by the formats' own definitions."""

from __future__ import annotations

import io
import re
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import pillow_heif
from PIL import Image, features

from icc_profiles import DISPLAY_P3, P3_PRIMARIES, shown_as_srgb

HAS_AVIF = "avif" in features.get_supported()
RNG = np.random.default_rng(11)
COLORS = RNG.integers(0, 256, (12, 16, 3), np.uint8)
COLORS[0, 0] = 255  # so that 16-bit files made of it use their range
GRAY = COLORS[..., 0]
PICTURE = Image.fromarray(COLORS)
SMOOTH = PICTURE.resize((64, 48))
GRAY_TYPE, RGB_TYPE, GRAY_ALPHA_TYPE, RGBA_TYPE = 0, 2, 4, 6  # of PNG


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A file: its bytes, its suffix, and what it shows or the name of the error it is refused by.

    `levels` is how far a decoder may be from `shown_hwc`: 0 wherever nothing is rounded.
    """

    encoded: bytes
    suffix: str = ".png"
    shown_hwc: np.ndarray | None = None
    refused: str = ""
    levels: int = 0


def encode(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(values: np.ndarray, bits: int, color: int, extra: bytes = b"") -> bytes:
    """Write `(H, W)` or `(H, W, C)` values of so many bits without Pillow."""
    height, width = values.shape[:2]
    flat = values.reshape(height, values.size // max(height, 1)).astype(np.uint32)
    unpacked = ((flat[..., None] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8)
    rows = np.packbits(unpacked.reshape(height, flat.shape[1] * bits), axis=1)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def tiff(values_hwc: np.ndarray, *, separate: bool = False, sample_format: int = 1) -> bytes:
    """Write a TIFF without Pillow: uncompressed, little-endian, in one strip or one a channel."""
    height, width, channels = values_hwc.shape
    planes = values_hwc.transpose(2, 0, 1) if separate else [values_hwc]
    strips = [np.ascontiguousarray(plane).tobytes() for plane in planes]
    offsets = [8 + sum(map(len, strips[:index])) for index in range(len(strips))]
    bits, entries, far = 8 * values_hwc.itemsize, [], b""
    for tag, kind, numbers in [
        (256, "I", [width]), (257, "I", [height]), (258, "H", [bits] * channels), (259, "H", [1]),
        (262, "H", [2 if channels == 3 else 1]), (273, "I", offsets), (277, "H", [channels]),
        (278, "I", [height]), (279, "I", [*map(len, strips)]), (284, "H", [1 + separate]),
        (339, "H", [sample_format] * channels),
    ]:  # fmt: skip
        packed = struct.pack(f"<{len(numbers)}{kind}", *numbers)
        if len(packed) > 4:
            far, packed = far + packed, struct.pack("<I", 8 + sum(map(len, strips)) + len(far))
        entry = struct.pack("<HHI", tag, 3 if kind == "H" else 4, len(numbers))
        entries.append(entry + packed.ljust(4, b"\0"))
    pixels = b"".join(strips)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels) + len(far)) + pixels + far + directory


def gray(levels: np.ndarray) -> np.ndarray:
    return np.stack([levels] * 3, axis=-1).astype(np.uint8)


def over_black(colors_hwc: np.ndarray, alpha_hw: np.ndarray) -> np.ndarray:
    return np.round(colors_hwc * (alpha_hw[..., None] / 255.0)).astype(np.uint8)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


ALPHA = np.linspace(0, 255, GRAY.size).astype(np.uint8).reshape(GRAY.shape)
WIDE = COLORS.astype(np.uint16) * 256 + COLORS[..., ::-1]
INDEXED = PICTURE.quantize(16)
INDEXED_COLORS = np.array(INDEXED.getpalette()).reshape(-1, 3)[np.asarray(INDEXED)]
JPEG, SMOOTH_PIXELS = encode(SMOOTH, "JPEG", quality=100, subsampling=0), np.asarray(SMOOTH)
INKS = Image.merge("CMYK", [Image.new("L", (16, 12), ink) for ink in (255, 0, 0, 0)])
CYAN = np.full((12, 16, 3), (0, 255, 255), np.uint8)
FRAMES = {"save_all": True, "append_images": [PICTURE.rotate(180)]}
KEY = chunk(b"tRNS", struct.pack(">HHH", *map(int, COLORS[3, 4])))
KEYED = COLORS * np.any(COLORS - COLORS[3, 4], axis=-1, keepdims=True)

AVIF = {"quality": 100, "subsampling": "4:4:4", "speed": 8}
CODES = {"color_primaries": 1, "transfer_characteristics": 13, "matrix_coefficients": 6}
HEIC = {"quality": 100, "chroma": 444, "nclx_profile": {**CODES, "full_range_flag": 1}}
SRGB_CODES, HDR_CODES = b"nclx\0\x01\0\x0d", b"nclx\0\x09\0\x10"  # of H.273: BT.2020, PQ
SOFT = Image.blend(SMOOTH, Image.new("RGB", SMOOTH.size, (128, 128, 128)), 0.5)


def faded(image: Image.Image) -> Image.Image:
    faded = image.copy()
    faded.putalpha(Image.linear_gradient("L").resize(image.size))
    return faded


def claiming(boxes: bytes, side: int) -> bytes:
    """Return a file in which every size is another. Source: ISO/IEC 23008-12, 6.5.3, ispe."""
    return re.sub(rb"(ispe\0{4}).{8}", rb"\1" + struct.pack(">II", side, side), boxes, flags=re.S)


def high_efficiency(name: str, format: str, suffix: str, **options) -> dict[str, Kind]:
    """Kinds of files in boxes, as both AVIF and HEIC are."""
    whole, alpha = encode(SMOOTH, format, **options), np.asarray(faded(SMOOTH))[..., 3]
    kinds = {
        name: {"encoded": whole, "shown_hwc": SMOOTH_PIXELS, "levels": 8},
        f"turned {name}": {
            "encoded": encode(SMOOTH, format, exif=turned().tobytes(), **options),
            "shown_hwc": np.rot90(SMOOTH_PIXELS, k=-1), "levels": 8,
        },
        f"{name} with alpha": {
            "encoded": encode(faded(SMOOTH), format, **options),
            "shown_hwc": over_black(SMOOTH_PIXELS, alpha), "levels": 8,
        },
        f"Display P3 {name}": {
            "encoded": encode(SOFT, format, icc_profile=DISPLAY_P3, **options),
            "shown_hwc": np.round(shown_as_srgb(np.asarray(SOFT), P3_PRIMARIES)), "levels": 16,
        },
        f"{name} in HDR": {"encoded": whole.replace(SRGB_CODES, HDR_CODES), "refused": UNSUPPORTED},
        f"{name} of several": {
            "encoded": encode(
                SMOOTH, format, save_all=True, append_images=[SMOOTH.rotate(180)], **options
            ),
            "refused": UNSUPPORTED,
        },
        f"truncated {name}": {"encoded": whole[: len(whole) // 2], "refused": DECODE},
        f"{name} of 144 megapixels": {"encoded": claiming(whole, 12_000), "refused": TOO_LARGE},
    }  # fmt: skip
    return {name: Kind(suffix=suffix, **fields) for name, fields in kinds.items()}


UNSUPPORTED, DECODE, TOO_LARGE = "UnsupportedImageError", "ImageDecodeError", "ImageTooLargeError"

KINDS = {
    "JPEG": Kind(encoded=JPEG, suffix=".jpg", shown_hwc=SMOOTH_PIXELS, levels=4),
    "progressive JPEG": Kind(
        encoded=encode(SMOOTH, "JPEG", quality=100, subsampling=0, progressive=True),
        suffix=".jpeg", shown_hwc=SMOOTH_PIXELS, levels=4,
    ),
    "grey JPEG": Kind(
        encoded=encode(SMOOTH.getchannel(0), "JPEG", quality=100), suffix=".JPG",
        shown_hwc=gray(SMOOTH_PIXELS[..., 0]), levels=4,
    ),
    "CMYK JPEG": Kind(encoded=encode(INKS, "JPEG"), suffix=".jpg", shown_hwc=CYAN, levels=4),
    "turned JPEG": Kind(
        encoded=encode(SMOOTH, "JPEG", quality=100, subsampling=0, exif=turned()), suffix=".jpg",
        shown_hwc=np.rot90(SMOOTH_PIXELS, k=-1), levels=4,
    ),
    "truncated JPEG": Kind(encoded=JPEG[: len(JPEG) // 2], suffix=".jpg", refused=DECODE),
    "PNG": Kind(encoded=png(COLORS, 8, RGB_TYPE), shown_hwc=COLORS),
    "grey PNG": Kind(encoded=png(GRAY, 8, GRAY_TYPE), shown_hwc=gray(GRAY)),
    "1-bit PNG": Kind(encoded=png(GRAY >> 7, 1, GRAY_TYPE), shown_hwc=gray((GRAY >> 7) * 255)),
    "2-bit PNG": Kind(encoded=png(GRAY >> 6, 2, GRAY_TYPE), shown_hwc=gray((GRAY >> 6) * 85)),
    "4-bit PNG": Kind(encoded=png(GRAY >> 4, 4, GRAY_TYPE), shown_hwc=gray((GRAY >> 4) * 17)),
    "palette PNG": Kind(encoded=encode(INDEXED, "PNG"), shown_hwc=INDEXED_COLORS),
    "RGBA PNG": Kind(
        encoded=png(np.dstack([COLORS, ALPHA]), 8, RGBA_TYPE),
        shown_hwc=over_black(COLORS, ALPHA), levels=1,
    ),
    "grey PNG with alpha": Kind(
        encoded=png(np.dstack([GRAY, ALPHA]), 8, GRAY_ALPHA_TYPE),
        shown_hwc=over_black(gray(GRAY), ALPHA), levels=1,
    ),
    "PNG with a transparent colour": Kind(encoded=png(COLORS, 8, RGB_TYPE, KEY), shown_hwc=KEYED),
    "4-bit PNG with a transparent grey": Kind(
        encoded=png(GRAY >> 4, 4, GRAY_TYPE, chunk(b"tRNS", b"\0\1")), refused=UNSUPPORTED
    ),
    "16-bit PNG": Kind(encoded=png(WIDE, 16, RGB_TYPE), shown_hwc=COLORS),
    "12-bit data in a 16-bit PNG": Kind(
        encoded=png(WIDE >> 4, 16, RGB_TYPE), refused=UNSUPPORTED
    ),
    "16-bit grey PNG": Kind(encoded=png(WIDE[..., 0], 16, GRAY_TYPE), refused=UNSUPPORTED),
    "16-bit grey PNG with alpha": Kind(
        encoded=png(WIDE[..., :2], 16, GRAY_ALPHA_TYPE), refused=UNSUPPORTED
    ),
    "Display P3 PNG": Kind(
        encoded=encode(PICTURE, "PNG", icc_profile=DISPLAY_P3),
        shown_hwc=np.round(shown_as_srgb(COLORS, P3_PRIMARIES)), levels=2,
    ),
    "PNG with a broken profile": Kind(
        encoded=encode(PICTURE, "PNG", icc_profile=b"nothing"), refused=UNSUPPORTED
    ),
    "PNG in HDR": Kind(
        encoded=png(COLORS, 8, RGB_TYPE, chunk(b"cICP", bytes([9, 16, 0, 1]))), refused=UNSUPPORTED
    ),
    "PNG that says that it is sRGB": Kind(
        encoded=png(COLORS, 8, RGB_TYPE, chunk(b"cICP", bytes([1, 13, 0, 1]))), shown_hwc=COLORS
    ),
    "turned PNG": Kind(
        encoded=encode(PICTURE, "PNG", exif=turned()), shown_hwc=np.rot90(COLORS, k=-1)
    ),
    "animated PNG": Kind(encoded=encode(PICTURE, "PNG", **FRAMES), refused=UNSUPPORTED),
    "corrupt PNG": Kind(
        encoded=png(COLORS, 8, RGB_TYPE).replace(b"IDAT", b"IDAT\0", 1), refused=DECODE
    ),
    "PNG without pixels": Kind(encoded=png(COLORS[:0], 8, RGB_TYPE), refused=DECODE),
    "PNG of 3600 megapixels": Kind(
        encoded=b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, RGB_TYPE, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""),
        refused=TOO_LARGE,
    ),
    "lossless WebP": Kind(
        encoded=encode(PICTURE, "WEBP", lossless=True), suffix=".webp", shown_hwc=COLORS
    ),
    "animated WebP": Kind(
        encoded=encode(PICTURE, "WEBP", **FRAMES), suffix=".webp", refused=UNSUPPORTED
    ),
    "BMP": Kind(encoded=encode(PICTURE, "BMP"), suffix=".bmp", shown_hwc=COLORS),
    "TIFF": Kind(encoded=tiff(COLORS), suffix=".tif", shown_hwc=COLORS),
    "TIFF of separate planes": Kind(
        encoded=tiff(COLORS, separate=True), suffix=".tif", shown_hwc=COLORS
    ),
    "CMYK TIFF": Kind(encoded=encode(INKS, "TIFF"), suffix=".tiff", shown_hwc=CYAN),
    "16-bit TIFF": Kind(encoded=tiff(WIDE), suffix=".tif", shown_hwc=COLORS),
    "12-bit data in a 16-bit TIFF": Kind(
        encoded=tiff(WIDE >> 4), suffix=".tif", refused=UNSUPPORTED
    ),
    "16-bit TIFF of separate planes": Kind(
        encoded=tiff(WIDE, separate=True), suffix=".tif", refused=UNSUPPORTED
    ),
    "signed TIFF": Kind(
        encoded=tiff(GRAY[..., None].view(np.int8), sample_format=2), suffix=".tif",
        refused=UNSUPPORTED,
    ),
    "int32 TIFF": Kind(
        encoded=tiff(GRAY[..., None].astype(np.int32), sample_format=2), suffix=".tif",
        refused=UNSUPPORTED,
    ),
    "float TIFF": Kind(
        encoded=tiff(GRAY[..., None].astype(np.float32), sample_format=3), suffix=".tif",
        refused=UNSUPPORTED,
    ),
    "TIFF of two pages": Kind(
        encoded=encode(PICTURE, "TIFF", **FRAMES), suffix=".tif", refused=UNSUPPORTED
    ),
    "GIF that is called PNG": Kind(encoded=encode(INDEXED, "GIF"), refused=DECODE),
    "empty file": Kind(encoded=b"", refused=DECODE),
}  # fmt: skip

if HAS_AVIF:  # of the wheels of Pillow from 11.3 on
    KINDS.update(high_efficiency("AVIF", "AVIF", ".avif", **AVIF))
pillow_heif.register_heif_opener()
KINDS.update(high_efficiency("HEIC", "HEIF", ".heic", **HEIC))
