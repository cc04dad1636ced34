"""Pictures that EXIF turns, under labels that may have been drawn before or after."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import ExifTags, Image, UnidentifiedImageError

from tritonseg_engines.errors import EvaluationError

AS_STORED: Final = 1
SIDEWAYS: Final = (5, 6, 7, 8)
"""Source: EXIF 2.3, tag 0x0112."""


def check_orientation(image: Path) -> None:
    """Refuse a picture whose size does not tell whether labels lie as it is stored or displayed.

    Where EXIF turns a picture by a quarter, labels that were drawn on the stored pixels have
    another size, and are refused by that.

    Args:
        image: The picture's file, which the client could read.

    Raises:
        EvaluationError: EXIF mirrors it or turns it upside down, or turns a square one.
    """
    try:
        with Image.open(image) as opened:
            turned = opened.getexif().get(ExifTags.Base.Orientation, AS_STORED)
            is_square = opened.width == opened.height
    except UnidentifiedImageError:  # HEIC, which the client turns by its own decoder
        return
    if turned == AS_STORED or (turned in SIDEWAYS and not is_square):
        return
    if turned in range(2, 9):
        raise EvaluationError(
            f"{image}: EXIF turns or mirrors this picture (orientation {turned}), and its size "
            "does not tell whether the labels were drawn before that; write the pixels as they are "
            "displayed, without the tag"
        )
