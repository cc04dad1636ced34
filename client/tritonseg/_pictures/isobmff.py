"""What the boxes of AVIF and HEIC files say about colours, where Pillow does not.

Source: ISO/IEC 14496-12 (boxes; 12.1.5, colr) and 23008-12 (9.3, properties of items).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from .._errors import ImageDecodeError, UnsupportedImageError

# Bytes between a box's header and the boxes in it.
_CONTAINERS: Final = {
    b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0,
    b"stsd": 8, b"av01": 78, b"hvc1": 78,
}  # fmt: skip
_MOST_BOXES: Final = 100_000

# Source: ITU-T H.273, tables 2 and 3. Unspecified is taken for sRGB, as JPEGs without profile are.
_SRGB_PRIMARIES: Final = {1: "BT.709", 2: "unspecified"}
_SRGB_TRANSFERS: Final = {1: "BT.709", 2: "unspecified", 6: "BT.601", 13: "sRGB"}
_NAMES: Final = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_TRANSFER_NAMES: Final = {8: "linear", 16: "PQ (HDR)", 18: "HLG (HDR)"}


class _Box(NamedTuple):
    parent: bytes
    kind: bytes
    body: bytes


def check_boxes(encoded: bytes, *, has_profile: bool, is_avif: bool) -> list[tuple[int, int]]:
    """Check that an AVIF or HEIC shows what its decoder makes of it, as sRGB.

    Returns:
        (H, W) that are decoded; more than is shown where the rest is cut off.

    Args:
        encoded: The file.
        has_profile: Whether it has an ICC profile, which then says what its colours are.
        is_avif: Pillow's decoder of AVIF leaves out a crop.

    Raises:
        ImageDecodeError: It has more boxes than any picture.
        UnsupportedImageError: Its colours are others than sRGB's, or it is cropped.
    """
    properties = _shown_properties(list(_boxes(encoded)))
    if is_avif and any(box.kind == b"clap" for box in properties):
        raise UnsupportedImageError(
            "expected an AVIF that is shown whole, got one with a crop (clap), which Pillow would "
            "not apply; save it cropped"
        )
    if not has_profile:
        for box in properties:
            if box.kind == b"colr" and box.body[:4] == b"nclx" and len(box.body) >= 8:
                check_color_codes(*struct.unpack_from(">HH", box.body, 4))
    sizes = [box.body for box in properties if box.kind == b"ispe" and len(box.body) >= 12]
    return [struct.unpack_from(">II", body, 4)[::-1] for body in sizes]


def check_items(encoded: bytes) -> None:
    """Check what a HEIC's items are called, before libheif's binding sees it.

    It ends the process where that is no text (seen in pi-heif 1.4.0).

    Raises:
        ImageDecodeError: It is no text, or the file has more boxes than any picture.
    """
    for box in _of(list(_boxes(encoded)), b"infe"):
        # Behind version and flags an id, of 4 bytes from version 3 on, and an index of 2.
        start = 10 if box.body[:1] > b"\2" else 8
        try:
            box.body[start:].decode("utf-8")
        except UnicodeDecodeError as exc:
            raise ImageDecodeError("the picture's file has an item whose type is no text") from exc


def check_color_codes(primaries: int, transfer: int) -> None:
    """Check the codes of H.273 by which colours are described that have no ICC profile.

    Raises:
        UnsupportedImageError: They are not sRGB's.
    """
    if primaries in _SRGB_PRIMARIES and transfer in _SRGB_TRANSFERS:
        return
    first = {**_SRGB_PRIMARIES, **_NAMES}.get(primaries, "another kind")
    second = {**_SRGB_TRANSFERS, **_TRANSFER_NAMES}.get(transfer, "another kind")
    raise UnsupportedImageError(
        f"expected sRGB colours, got primaries {primaries} ({first}) and transfer {transfer} "
        f"({second}), which would be taken for sRGB; convert it to sRGB"
    )


def _boxes(encoded: bytes) -> Iterator[_Box]:
    """Yield every box of the file, containers before what is in them."""
    spans, count = [(b"", 0, len(encoded))], 0
    while spans:
        parent, position, end = spans.pop()
        while position + 8 <= end:
            count += 1
            if count > _MOST_BOXES:
                raise ImageDecodeError(f"the picture's file has more than {_MOST_BOXES} boxes")
            size, kind = struct.unpack_from(">I4s", encoded, position)
            header = 8
            if size == 1 and position + 16 <= end:
                header, size = 16, int.from_bytes(encoded[position + 8 : position + 16], "big")
            stop = end if size == 0 else position + size
            start = position + header
            if stop < start or stop > end:
                break  # the decoder will say so
            skipped = _bytes_before_boxes(kind, encoded, start)
            if skipped is not None:
                yield _Box(parent, kind, b"")
                spans.append((kind, start + skipped, stop))
            elif kind != b"mdat":
                yield _Box(parent, kind, encoded[start:stop])
            position = stop


def _bytes_before_boxes(kind: bytes, encoded: bytes, start: int) -> int | None:
    """Return how many bytes of a box come before those in it; None where none are in it."""
    if kind == b"iinf":  # a count, of 2 bytes, or from version 1 on of 4
        return 6 if encoded[start : start + 1] == b"\0" else 8
    return _CONTAINERS.get(kind)


def _shown_properties(boxes: list[_Box]) -> list[_Box]:
    """Return what says how to show the primary item, and the frames of a sequence.

    Tiles and other items may have colours of their own (an HDR rendition beside the picture has);
    they count where the primary item says nothing of its colours.
    """
    by_index = [box for box in boxes if box.parent == b"ipco"]
    wanted = set(_indices_of_primary(boxes))
    properties = [box for index, box in enumerate(by_index, 1) if index in wanted]
    in_tracks = [box for box in boxes if box.parent in (b"av01", b"hvc1")]
    if any(box.kind == b"colr" for box in properties):
        return properties + in_tracks
    return properties + in_tracks + [box for box in by_index if box.kind == b"colr"]


def _indices_of_primary(boxes: list[_Box]) -> Iterator[int]:
    """Yield which of the properties, counted from 1, are the primary item's."""
    try:
        (primary,) = (_read_id(box.body, 4, wide=box.body[0] > 0)[0] for box in _of(boxes, b"pitm"))
        for box in _of(boxes, b"ipma"):
            wide_id, wide_index = box.body[0] > 0, box.body[3] & 1
            (entries,) = struct.unpack_from(">I", box.body, 4)
            position = 8
            for _ in range(min(entries, len(box.body))):
                item, position = _read_id(box.body, position, wide=wide_id)
                count, step = box.body[position], 2 if wide_index else 1
                position += 1
                for place in range(position, position + count * step, step):
                    index = int.from_bytes(box.body[place : place + step], "big")
                    if item == primary:  # without the bit that says whether it is essential
                        yield index & (0x7FFF if wide_index else 0x7F)
                position += count * step
    except (struct.error, IndexError, ValueError):
        return  # the decoder will say so


def _of(boxes: list[_Box], kind: bytes) -> list[_Box]:
    return [box for box in boxes if box.kind == kind]


def _read_id(body: bytes, position: int, *, wide: bool) -> tuple[int, int]:
    (number,) = struct.unpack_from(">I" if wide else ">H", body, position)
    return number, position + (4 if wide else 2)
