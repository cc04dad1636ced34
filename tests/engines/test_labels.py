"""Labels are what stands in the file, and labels of other classes do not judge a build."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from residual_network import (
    CLASSES,
    SIZE_HW,
    residual_network,
    residual_spec,
    write_pictures,
)
from tritonseg_engines.build.model import BuildReport, build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.errors import CalibrationError
from tritonseg_engines.gate.label_check import LabelCheck
from tritonseg_engines.running.labels import read_labels
from tritonseg_engines.running.pictures import Picture, picture_folder

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
INDICES = np.array([[0, 1, 1, 0, 1], [1, 0, 0, 1, 1], [0, 0, 1, 0, 1]])
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}


def write_png(path: Path, values: np.ndarray, bits: int, color: int, extra: bytes = b"") -> Path:
    """Write `(H, W)` or `(H, W, C)` values as they are, without Pillow."""
    height, width = values.shape[:2]
    flat = values.reshape(height, -1).astype(np.uint32)
    unpacked = ((flat[..., None] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8)
    rows = np.packbits(unpacked.reshape(height, -1), axis=1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    colors = chunk(b"PLTE", bytes(range(3 * 2 ** min(bits, 6)))) if color == PALETTE else b""
    body = chunk(b"IHDR", header) + colors + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@pytest.mark.parametrize(
    ("bits", "color"),
    [(bits, GRAY) for bits in (1, 2, 4, 8, 16)] + [(bits, PALETTE) for bits in (1, 2, 4, 8)],
)
def test_values_are_those_in_the_file(tmp_path: Path, bits: int, color: int) -> None:
    highest = 2 ** min(bits, 8 if color == GRAY else 6) - 1
    values = np.random.default_rng(0).integers(0, highest + 1, (7, 11))
    values[0, 0] = highest
    labels = read_labels(write_png(tmp_path / "a.png", values, bits, color), (7, 11))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, values)


@pytest.mark.parametrize(
    ("bits", "color", "message"),
    [
        (8, RGB, "got RGB; a colour for every class must be turned into its index"),
        (16, RGB, "got RGB"),
        (8, RGBA, "got RGB with transparency"),
        (8, GRAY_ALPHA, "got grey with transparency"),
    ],
)
def test_colours_are_no_labels(tmp_path: Path, bits: int, color: int, message: str) -> None:
    values = np.repeat(INDICES[..., None], CHANNELS[color], axis=2)
    path = write_png(tmp_path / "a.png", values, bits, color)
    with pytest.raises(CalibrationError, match=rf"a\.png: expected labels as class .*{message}"):
        read_labels(path, (3, 5))


def test_what_is_no_label_picture_is_said_with_its_file(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", 26_001 * INDICES, 16, GRAY)
    with pytest.raises(CalibrationError, match=r"a\.png: .* up to 255, got 26001 .* instance ids"):
        read_labels(path, (3, 5))
    with pytest.raises(CalibrationError, match=r"a\.png: expected labels of 5x3 .* got 3x5"):
        read_labels(path, (5, 3))
    Image.fromarray(INDICES.astype(np.uint8)).save(path, "JPEG")
    with pytest.raises(CalibrationError, match=r"a\.png: expected labels as a PNG"):
        read_labels(path, (3, 5))
    frames = [Image.fromarray((INDICES + k).astype(np.uint8)) for k in range(2)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(CalibrationError, match=r"a\.png: .*several frames"):
        read_labels(path, (3, 5))
    exif = Image.Exif()
    exif[0x0112] = 3
    frames[0].save(path, exif=exif)
    with pytest.raises(CalibrationError, match=r"a\.png: .*EXIF orientation"):
        read_labels(path, (3, 5))
    whole = write_png(path, INDICES, 8, GRAY).read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(CalibrationError, match=r"a\.png: expected labels, got a damaged PNG"):
        read_labels(path, (3, 5))


def labelled(labels: np.ndarray, name: str = "street") -> Picture:
    image = np.zeros((*labels.shape, 3), np.uint8)
    file = Path("labels") / f"{name}.png"
    return Picture(
        name=f"{name}.jpg", image_hwc=image, labels_hw=labels.astype(np.uint8), labels_file=file
    )


TRUTH = np.arange(30).reshape(5, 6) % 4


def check(labels: np.ndarray, class_map: np.ndarray, *, ignore: int | None = 255) -> None:
    checked = LabelCheck(4, ignore)
    for name in ("first", "second"):
        checked.add(labelled(labels, name), class_map.astype(np.uint8))
    checked.finish()


def test_labels_of_the_classes_pass() -> None:
    check(TRUTH, TRUTH)
    check(np.where(TRUTH == 2, 255, TRUTH), (TRUTH + (TRUTH == 1)) % 4)
    LabelCheck(4, 255).finish()


@pytest.mark.parametrize(
    ("labels", "ignore", "message"),
    [
        (TRUTH + 1, 255, r"first\.png: .* 0 to 3, or 255 .* got 4 \(7 pixels\); .* subtract 1"),
        (np.where(TRUTH == 1, 9, TRUTH), 255, r"first\.png: .* got 9 \(8 pixels\)$"),
        (np.where(TRUTH == 1, 255, TRUTH), None, r"got 255 \(8 pixels\); `ignore_index: 255`"),
        (255 * (TRUTH > 1), 0, r"got 255 .*; masks of 0 and 255 must be written as 0 and 1"),
        (255 * (TRUTH > 1), 255, r"labels: 2 pictures: .* 0 and 255 alone, .* as 0 and 1"),
        (TRUTH * 0 + 255, 255, r"labels: 2 pictures: .* got 255 in every pixel"),
        (np.minimum(TRUTH + 1, 3), 255, r"class \+1 in 76\.7% .* and that class in 23\.3%"),
        (np.where(TRUTH == 0, 255, TRUTH - 1), 255, r"class -1 in 100\.0% of the pixels"),
        ((TRUTH + 2) % 4, 255, r"got none of 60: the labels are of other pictures"),
    ],
)
def test_labels_of_other_classes_are_refused(
    labels: np.ndarray, ignore: int | None, message: str
) -> None:
    with pytest.raises(CalibrationError, match=message) as raised:
        check(labels, TRUTH, ignore=ignore)
    assert "\n" not in str(raised.value)


def build_with(folder: Path, labels_hw: np.ndarray) -> BuildReport:
    onnx.save(residual_network(), folder / "export.onnx")
    pictures = write_pictures(folder / "pictures", 2)
    labels = folder / "labels"
    labels.mkdir()
    for path in pictures.iterdir():
        Image.fromarray(labels_hw.astype(np.uint8)).save(labels / path.name)
    return build_model(
        residual_spec(ignore_index=255),
        folder / "export.onnx",
        folder / "repository",
        options=BuildOptions(pictures=pictures, labels=labels, onnx_only=True),
    )


@pytest.mark.parametrize(
    ("labels_hw", "message"),
    [
        (1 + np.arange(SIZE_HW[0] * SIZE_HW[1]).reshape(SIZE_HW) % CLASSES, "count from 1"),
        (np.full(SIZE_HW, 255), "nothing to judge by"),
    ],
)
def test_a_build_ends_before_anything_is_judged_by_them(
    tmp_path: Path, labels_hw: np.ndarray, message: str
) -> None:
    with pytest.raises(CalibrationError, match=rf"labels.*{message}"):
        build_with(tmp_path, labels_hw)
    assert not (tmp_path / "repository").exists()


def test_labels_among_the_pictures_are_no_pictures(tmp_path: Path) -> None:
    """Else a build would be calibrated with label maps, and judged by them."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    for labels in (None, tmp_path):
        with pytest.raises(
            CalibrationError, match=r"got a.jpg and a.png; labels belong in a folder"
        ):
            picture_folder(tmp_path, labels)


def test_a_picture_is_not_its_own_label(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(CalibrationError, match="a picture and its labels, got one file for both"):
        picture_folder(tmp_path, tmp_path)


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", INDICES, 8, GRAY)
    whole, expected = path.read_bytes(), read_labels(path, INDICES.shape)
    wrong, refused = [], 0
    for at in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        try:
            if not np.array_equal(read_labels(path, INDICES.shape), expected):
                wrong.append(at)
        except CalibrationError:
            refused += 1
    assert not wrong
    assert refused > 4 * len(whole)
