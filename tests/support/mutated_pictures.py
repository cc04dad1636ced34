"""Picture files of every format, broken in a few ways each, and what the client makes of them."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from picture_kinds import KINDS
from tritonseg import ImageLimits, InvalidImageError, load_image

Broken = Callable[[bytearray, np.random.Generator], None]
LIMITS = ImageLimits(max_pixels=4_000_000)
"""So that headers that claim anything take no seconds each."""
RIGHT, REFUSED, UNCHECKED = "right", "refused", "read"
WRONG, FOREIGN, SLOW = "wrong", "foreign exception", "slow"
FAILED = (WRONG, FOREIGN, SLOW)
MOST_S = 5.0
NAMES = sorted(KINDS)
COMPARED = ("PNG", "BMP", "TIFF", "JPEG", "lossless WebP")
"""Kinds that OpenCV reads as the client does, since nothing about them is left to taste."""
_NOT_OPENCVS = (b"iCCP", b"ICC_PROFILE", b"tRNS", b"ICCP", b"acTL")
_FIELDS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How the reading of a file ended, with words and the time that it took."""

    kind: str
    words: str
    took_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class MutatedPicture:
    """A file that is one of `KINDS` but for what the seed breaks."""

    name: str
    seed: int

    @property
    def encoded(self) -> bytes:
        """The file."""
        rng = np.random.default_rng((self.seed, NAMES.index(self.name)))
        encoded = bytearray(KINDS[self.name].encoded)
        for _ in range(1 + int(rng.random() < 0.3)):
            BREAKS[rng.integers(len(BREAKS))](encoded, rng)
        if rng.random() < 0.5:
            _repair_png(encoded)
        return bytes(encoded)

    def outcome(self) -> Outcome:
        """Read it in this process."""
        encoded, begin_s = self.encoded, time.monotonic()
        read = None
        try:
            read = load_image(encoded, limits=LIMITS)
            kind, words = UNCHECKED, ""
        except InvalidImageError as error:
            kind, words = REFUSED, f"{type(error).__name__}: {error}"
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
            kind, words = FOREIGN, f"{type(error).__name__}: {error}"
        took_s = time.monotonic() - begin_s
        if took_s > MOST_S:
            kind = SLOW
        elif read is not None and self._is_comparable(encoded):
            kind, words = _compared(encoded, read)
        return Outcome(kind=kind, words=words, took_s=took_s)

    def _is_comparable(self, encoded: bytes) -> bool:
        """Whether it is still of a kind of which OpenCV and the client hold the same."""
        if self.name not in COMPARED or encoded[:2] != KINDS[self.name].encoded[:2]:
            return False
        # Where a BMP says that its pixels begin at 0, OpenCV takes its header for pixels; where
        # they have 16 bits, it does not stretch the 5 of a channel to 255.
        if self.name == "BMP" and (encoded[10:14] == bytes(4) or encoded[28:30] != b"\x18\0"):
            return False
        if self.name == "PNG" and encoded[24:26] != KINDS["PNG"].encoded[24:26]:
            return False  # of other depth, or with alpha, which OpenCV leaves out
        return not any(word in encoded for word in _NOT_OPENCVS)


def _compared(encoded: bytes, read: np.ndarray) -> tuple[str, str]:
    theirs = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if theirs is None:
        return UNCHECKED, "OpenCV does not read it"
    if theirs.shape != read.shape:
        return WRONG, f"OpenCV reads {theirs.shape}, and here it is {read.shape}"
    most = int(np.abs(theirs[..., ::-1].astype(int) - read).max())
    return (RIGHT, "") if most == 0 else (WRONG, f"up to {most} levels from what OpenCV reads")


def _place(encoded: bytearray, rng: np.random.Generator) -> int:
    """Return a position; one in two is in the first 200 bytes, where headers are."""
    return int(rng.integers(max(1, min(200, len(encoded)) if rng.random() < 0.5 else len(encoded))))


def _flip_one(encoded: bytearray, rng: np.random.Generator) -> None:
    if encoded:
        encoded[int(rng.integers(len(encoded)))] ^= 1 << int(rng.integers(8))


def _flip(encoded: bytearray, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 9)):
        if encoded:
            encoded[_place(encoded, rng)] ^= 1 << int(rng.integers(8))


def _overwrite(encoded: bytearray, rng: np.random.Generator) -> None:
    start = _place(encoded, rng)
    count = min(int(rng.integers(1, 33)), len(encoded) - start)
    encoded[start : start + count] = rng.bytes(max(count, 0))


def _set_field(encoded: bytearray, rng: np.random.Generator) -> None:
    start, width = _place(encoded, rng), int(rng.choice([1, 2, 4]))
    value = int(rng.choice(_FIELDS)) & (256**width - 1)
    order = "big" if rng.random() < 0.5 else "little"
    if start + width <= len(encoded):
        encoded[start : start + width] = value.to_bytes(width, order)


def _remove(encoded: bytearray, rng: np.random.Generator) -> None:
    start = _place(encoded, rng)
    del encoded[start : start + int(rng.integers(1, 65))]


def _insert(encoded: bytearray, rng: np.random.Generator) -> None:
    start = _place(encoded, rng)
    encoded[start:start] = rng.bytes(int(rng.integers(1, 65)))


def _repeat(encoded: bytearray, rng: np.random.Generator) -> None:
    start, target = _place(encoded, rng), _place(encoded, rng)
    encoded[target:target] = encoded[start : start + int(rng.integers(1, 129))]


def _cut(encoded: bytearray, rng: np.random.Generator) -> None:
    del encoded[_place(encoded, rng) :]


def _splice(encoded: bytearray, rng: np.random.Generator) -> None:
    other = KINDS[NAMES[rng.integers(len(NAMES))]].encoded
    start = _place(encoded, rng)
    encoded[start:] = other[start:]


BREAKS: tuple[Broken, ...] = (
    _flip_one, _flip_one, _flip, _overwrite, _set_field, _set_field, _remove, _insert, _repeat,
    _cut, _splice,
)  # fmt: skip


def _repair_png(encoded: bytearray) -> None:
    """Give chunks the checksums of what is in them now, or nothing behind them would be reached."""
    position = 8
    while encoded.startswith(b"\x89PNG") and position + 12 <= len(encoded):
        (length,) = struct.unpack_from(">I", encoded, position)
        end = position + 8 + length
        if end + 4 > len(encoded):
            return
        checksum = zlib.crc32(bytes(encoded[position + 4 : end]))
        encoded[end : end + 4] = checksum.to_bytes(4, "big")
        position = end + 4
