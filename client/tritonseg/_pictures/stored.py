"""How the file of a caller's PIL image is stored, which the image itself forgets when it is loaded.

A caller's image says the same when it is passed again: one of a file is opened from that again, and
one that only its stream can tell of is not loaded.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageFile

_EIGHT_BITS: Final = ("JPEG", "MPO", "WEBP")
"""Formats that hold nothing else, so that their pixels tell all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """The file that an image was opened from, opened once more.

    Attributes:
        image: The same picture, not loaded.
        encoded: The bytes of the file.
        is_only_witness: Whether the caller's image, not loaded, is all that leads to these bytes.
    """

    image: ImageFile.ImageFile
    encoded: bytes
    is_only_witness: bool


def as_stored(image: Image.Image) -> StoredImage | None:
    """Return what an image was opened from; None where that is not known any more.

    It is not where the image was made in memory, was loaded from something else than a file that is
    still there, or has another size by now, and is not asked where a format leaves nothing to know.
    """
    if not isinstance(image, ImageFile.ImageFile) or image.format in _EIGHT_BITS:
        return None
    try:
        encoded = _bytes_of(image)
        if encoded is None:
            return None
        stored = type(image)(io.BytesIO(encoded))
    except Exception:  # noqa: BLE001 - whatever it is, the image's own decoder says it better
        return None
    if (stored.size, stored.mode) != (image.size, image.mode):
        return None
    alone = bool(image.tile) and _file_of(image) is None
    return StoredImage(image=stored, encoded=encoded, is_only_witness=alone)


def _bytes_of(image: ImageFile.ImageFile) -> bytes | None:
    if image.tile and image.fp is not None:
        position = image.fp.tell()
        try:
            image.fp.seek(0)
            return image.fp.read()
        finally:
            image.fp.seek(position)
    path = _file_of(image)
    return None if path is None else path.read_bytes()


def _file_of(image: ImageFile.ImageFile) -> Path | None:
    path = Path(os.fsdecode(image.filename)) if image.filename else None
    return path if path is not None and path.is_file() else None
