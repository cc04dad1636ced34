"""Where the entropy-coded data of a JPEG lie.

Source: ITU-T T.81, B.1.1 (markers), B.2.2 (frame header), B.2.3 (scan header), B.2.4.4 (restarts).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .._errors import ImageDecodeError

_END_OF_IMAGE: Final = 0xD9
_START_OF_SCAN: Final = 0xDA
_RESTART_INTERVAL: Final = 0xDD
_RESTARTS: Final = range(0xD0, 0xD8)
_HUFFMAN_FRAMES: Final = (0xC0, 0xC1, 0xC2)
_OTHER_FRAMES: Final = (0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_BLOCK: Final = 8

# In the data a byte of 255 is followed by a zero; any other byte behind it makes it a marker.
_MARKER: Final = re.compile(rb"\xff+([\x01-\xfe])")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedPiece:
    """Data between two markers: a scan, or what lies between two of its restarts.

    Attributes:
        start: Index of the first byte.
        end: Index behind the last byte: the marker's.
    """

    start: int
    end: int


def coded_pieces(jpeg: bytes) -> list[CodedPiece]:
    """Return the pieces of coded data, from the first scan to the picture's end.

    Raises:
        ImageDecodeError: The markers contradict one another, or there is no end.
    """
    reader = _Reader(jpeg)
    while reader.read_segment():
        pass
    return reader.pieces


def damage(what: str) -> ImageDecodeError:
    """Return the error for a JPEG that could be decoded, and should not be."""
    return ImageDecodeError(
        f"the JPEG is damaged: {what}; a copy that is whole is needed, or ImageLimits.strict=False "
        "to take what can be decoded"
    )


class _Reader:
    """Goes from marker to marker."""

    def __init__(self, jpeg: bytes) -> None:
        self.pieces: list[CodedPiece] = []
        self._jpeg = jpeg
        self._position = 2
        self._size_hw = (0, 0)
        self._sampling: dict[int, tuple[int, int]] = {}
        self._restart_interval = 0

    def read_segment(self) -> bool:
        """Read one segment, with its scan if it starts one; False at the picture's end."""
        found = _MARKER.search(self._jpeg, self._position)
        if found is None:
            raise damage("it has no end marker")
        kind = found[1][0]
        if kind == _END_OF_IMAGE:
            return False
        if found.start() != self._position or kind in _RESTARTS:
            raise damage(f"there is something else than a marker at byte {self._position}")
        start = found.end() + 2
        length = int.from_bytes(self._jpeg[found.end() : start], "big")
        body = self._jpeg[start : found.end() + length]
        self._position = found.end() + length
        if kind in _HUFFMAN_FRAMES:
            self._read_frame(body)
        elif kind in _OTHER_FRAMES:
            raise damage("it is, or claims to be, of a kind that cannot be checked")
        elif kind == _RESTART_INTERVAL:
            self._restart_interval = int.from_bytes(body[:2], "big")
        elif kind == _START_OF_SCAN:
            self._read_scan(list(body[1 : 1 + 2 * body[0] : 2]))
        return True

    def _read_frame(self, body: bytes) -> None:
        height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
        self._size_hw = (height, width)
        components = (body[start : start + 3] for start in range(6, 6 + 3 * body[5], 3))
        self._sampling = {name: (sampling & 15, sampling >> 4) for name, sampling, _ in components}

    def _read_scan(self, components: list[int]) -> None:
        restarts, interval = 0, self._restart_interval
        while True:
            found = _MARKER.search(self._jpeg, self._position)
            if found is None:
                raise damage("it has no end marker")
            self.pieces.append(CodedPiece(start=self._position, end=found.start()))
            if found[1][0] not in _RESTARTS:
                break
            if found[1][0] != _RESTARTS[restarts % len(_RESTARTS)]:
                raise damage(f"a restart is missing before byte {found.start()}")
            restarts += 1
            self._position = found.end()
        self._position = found.start()
        expected = -(-self._unit_count(components) // interval) - 1 if interval else 0
        if restarts != expected:
            raise damage(f"expected {expected} restarts in a scan, got {restarts}")

    def _unit_count(self, components: list[int]) -> int:
        """Return of how many blocks, or groups of interleaved blocks, a scan of these consists."""
        sampling = [*self._sampling.values()]
        most = [max(factors) for factors in zip(*sampling, strict=True)]
        count = 1
        for axis, length in enumerate(self._size_hw):
            if len(components) > 1:
                count *= -(-length // (_BLOCK * most[axis]))
            else:
                samples = -(-length * self._sampling[components[0]][axis] // most[axis])
                count *= -(-samples // _BLOCK)
        return count
