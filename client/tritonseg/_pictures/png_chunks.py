"""What stands in a PNG file beside its pixels.

Source: PNG specification (third edition), 5.2 and 5.3: a signature, then chunks of length, type,
body and CRC; 11.3.2.6, cICP.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from .isobmff import check_color_codes

_SIGNATURE_BYTES: Final = 8
_CHUNK_HEADER: Final = struct.Struct(">I4s")
_CHECKSUM_BYTES: Final = 4


class Chunk(NamedTuple):
    """One chunk: its type, and where its body begins and ends."""

    kind: bytes
    start: int
    end: int


def chunks(png: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a file, as far as it goes."""
    position = _SIGNATURE_BYTES
    while position + _CHUNK_HEADER.size <= len(png):
        length, kind = _CHUNK_HEADER.unpack_from(png, position)
        start = position + _CHUNK_HEADER.size
        yield Chunk(kind, start, start + length)
        position = start + length + _CHECKSUM_BYTES


def check_png_codes(png: bytes) -> None:
    """Check the codes of colours, which come before any profile, and of which Pillow is silent.

    Raises:
        UnsupportedImageError: They are not sRGB's.
    """
    for chunk in chunks(png):
        if chunk.kind == b"IDAT":  # behind which none counts
            return
        if chunk.kind == b"cICP" and chunk.end - chunk.start >= 2:
            primaries, transfer = png[chunk.start : chunk.start + 2]
            check_color_codes(primaries, transfer)
