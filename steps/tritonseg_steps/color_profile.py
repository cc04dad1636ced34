"""Whether an ICC profile makes a file show other colours than its bare pixels do.

Converting is left to callers: a server that did it, too, would have to do it as every caller's
library does. Here a profile is only asked whether it is sRGB by another name.
"""

from __future__ import annotations

import functools
import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

MAX_PROFILE_BYTES: Final = 100_000
"""Larger ones are not parsed: ICC's own sRGB v4 profile has 60,960, a camera's some 3,000."""

# As the client does it: tritonseg._pictures.color, which says why.
SRGB_TOLERANCE: Final = 1
_CUBE_STEP: Final = 15
_INTENT: Final = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS: Final = ImageCms.Flags.BLACKPOINTCOMPENSATION
_CACHED_PROFILES: Final = 16


def changes_colors(image: Image.Image) -> bool:
    """Return whether the image's profile, if it has one, is other than sRGB or cannot be read.

    Args:
        image: In one of the modes 1, L, P and RGB.
    """
    if "icc_profile" not in image.info:
        return False
    profile = image.info["icc_profile"]
    if not profile and profile is not None:
        return False
    if not isinstance(profile, bytes) or len(profile) > MAX_PROFILE_BYTES:
        return True
    try:
        return _changes_colors(profile, "L" if image.mode in ("1", "L") else "RGB")
    except Exception:  # noqa: BLE001 - ImageCms raises all kinds on what is no profile
        return True


@functools.lru_cache(maxsize=_CACHED_PROFILES)
def _changes_colors(profile: bytes, pixels: str) -> bool:
    described = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = {"RGB ": "RGB", "GRAY": "L"}.get(described.profile.xcolor_space)
    if mode is None or (mode, pixels) == ("L", "RGB"):
        return False  # of another kind of pixels: it says nothing about these
    srgb = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(described, srgb, mode, "RGB", _INTENT, _FLAGS)
    colors_hwc = _probe_colors(pixels)
    shown = transform.apply(Image.fromarray(colors_hwc).convert(mode))
    moved = np.abs(np.asarray(shown, np.int16) - colors_hwc)
    return bool(moved.max() > SRGB_TOLERANCE)


def _probe_colors(pixels: str) -> NDArray[np.uint8]:
    """Return `(1, n, 3)`: all 256 greys and, for RGB, a cube of colours."""
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    levels = np.arange(0, 256, _CUBE_STEP, dtype=np.uint8)[: None if pixels == "RGB" else 0]
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    colors_hwc: NDArray[np.uint8] = np.concatenate([greys, cube])[None]
    return colors_hwc
