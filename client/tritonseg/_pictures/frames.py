"""Files of several frames or pages."""

from __future__ import annotations

from PIL import Image, TiffImagePlugin

from .._errors import UnsupportedImageError

_TIFF_PROFILE = 34675
"""Source: ICC.1:2022, B.4."""


def select_frame(image: Image.Image, frame: int | None) -> None:
    """Go to a frame of an image that was opened here.

    Args:
        image: Not loaded yet, or with one frame.
        frame: From 0 on; None if there must be only one.

    Raises:
        UnsupportedImageError: There is no such frame, or which is meant was not said.
    """
    # Frame 0 of a multi-picture JPEG is the photo itself, the others its previews.
    is_many = getattr(image, "is_animated", False) and image.format != "MPO"
    if frame is None:
        if is_many:
            raise UnsupportedImageError(
                "expected a single picture, got several frames or pages; pass "
                "load_image(source, frame=0), or another index, of this picture"
            )
        return
    count = getattr(image, "n_frames", 1) if is_many else 1
    if frame >= count:
        raise UnsupportedImageError(
            f"expected a picture with a frame {frame}, counted from 0; this one has {count}"
        )
    if is_many:
        image.seek(frame)
        # Pillow keeps the profile of the page before where this one has none.
        if isinstance(image, TiffImagePlugin.TiffImageFile) and _TIFF_PROFILE not in image.tag_v2:
            image.info.pop("icc_profile", None)
