"""Whether a JPEG that libjpeg decodes is whole: Pillow asks libjpeg for no warnings.

Data that were damaged still decode, as blocks that are shifted, of wrong colour or, from where they
ran out, grey. What gives them away is that they are then longer or shorter than the picture needs.
So the file is decoded once more, with something between each piece of coded data and the marker
that ends it. A whole file needs all of its data, and nothing of that.
"""

from __future__ import annotations

import io
import re
from typing import Any, Final

from PIL import Image, ImageFile, JpegImagePlugin

from .._errors import ImageDecodeError
from .jpeg_scans import CodedPiece, coded_pieces, damage

# Any bits will do that libjpeg's own, zeros, are unlikely to decode like. Longer than it reads
# ahead (8 bytes), and without 255, which would begin a marker.
_FILLER: Final = bytes((179 * index + 155) % 251 for index in range(64))

# libjpeg reads ahead 3 or 7 bytes at a time, of 4 or 8 that it holds. Were it still decoding, it
# could not take three single bytes in a row, each as it comes.
_SINGLY: Final = 3
_LAST_BYTES: Final = re.compile(rb"(?:\xff+\x00|[^\xff])" * _SINGLY + rb"\Z", re.DOTALL)
_ONE_BYTE: Final = re.compile(rb"\xff+\x00|[^\xff]", re.DOTALL)
_LONGEST_TAIL: Final = 64


def check_undamaged(jpeg: bytes, image: Image.Image) -> None:
    """Check a JPEG that was decoded for damage.

    Args:
        jpeg: The file.
        image: What was decoded from it, loaded and otherwise as it came.

    Raises:
        ImageDecodeError: The coded data are more or less than the picture, or have no end.
    """
    try:
        pieces = coded_pieces(jpeg)
        probe = JpegImagePlugin.JpegImageFile(io.BytesIO(jpeg))
        _Feeder(probe).feed(jpeg, pieces)
        differs = probe.tobytes() != image.tobytes()
    except ImageDecodeError:
        raise
    except Exception as exc:  # on corrupt files decoders raise all kinds
        raise damage(f"{type(exc).__name__}: {exc}") from exc
    if differs:
        raise damage("its data end before the picture does")


class _Feeder:
    """libjpeg, as Pillow calls it, but given the file in pieces of our choice."""

    def __init__(self, probe: ImageFile.ImageFile) -> None:
        name, extents, _, args = probe.tile[0]
        probe.tile = []
        # As ImageFile.load does; the decoder itself has no public name.
        self._decoder: Any = Image._getdecoder(probe.mode, name, args, probe.decoderconfig)
        probe.load_prepare()
        self._decoder.setimage(probe.im, extents)
        self._waiting = b""
        self._is_finished = False

    def feed(self, jpeg: bytes, pieces: list[CodedPiece]) -> None:
        position = 0
        for piece in pieces:
            if self._is_finished:
                raise damage(f"there are data behind the picture's last, at byte {piece.start}")
            self._take(jpeg[position : piece.start])
            self._take_piece(jpeg[piece.start : piece.end])
            self._take(_FILLER)
            position = piece.end
        self._take(jpeg[position : position + 2])
        if not self._is_finished:
            raise damage("its data end before the picture does")

    def _take_piece(self, coded: bytes) -> None:
        tail = _LAST_BYTES.search(coded, max(0, len(coded) - _LONGEST_TAIL))
        if tail is None:
            self._take(coded)
            return
        self._take(coded[: tail.start()])
        taken = [self._take(one) for one in _ONE_BYTE.findall(tail[0])]
        if all(taken):
            raise damage("its data go on behind what they should hold")

    def _take(self, some: bytes) -> bool:
        """Let the decoder have some bytes more; return whether it takes them without a need."""
        if self._is_finished:
            return True
        self._waiting += some
        count, error = self._decoder.decode(self._waiting)
        if error < 0:
            raise damage("it cannot be decoded a second time")
        if count < 0:
            self._is_finished = True
            return False
        self._waiting = self._waiting[count:]
        return not self._waiting
