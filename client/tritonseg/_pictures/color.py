"""Embedded ICC profiles: pixels become sRGB, as viewers that manage colours show them.

A network has learnt sRGB. The same file taken for sRGB where it is Display P3 is wrong by 11 of 255
levels in the mean, and nothing tells.
"""

from __future__ import annotations

import functools
import io
from typing import Final, NamedTuple

from PIL import Image, ImageCms

from .._errors import UnsupportedImageError
from .reading import SCALED_MODES

SRGB_TOLERANCE: Final = 1
"""Levels of 255 by which a profile may move colours and still be sRGB: what rounding does.

The sRGB profiles of HP, GIMP, Google and the ICC (v2, v4) move none by more; the nearest other one
that was seen, a scanner's, by 53.
"""
_CUBE_STEP: Final = 15
_CACHED_PROFILES: Final = 16

# Relative colorimetric with black point compensation. Not perceptual: that tells profiles with
# tables apart by their makers' taste, and ICC's own sRGB v4 profile then moves colours by 105.
_INTENT: Final = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS: Final = ImageCms.Flags.BLACKPOINTCOMPENSATION

_PIXEL_KINDS: Final = {
    **dict.fromkeys(("1", "L", "LA", *SCALED_MODES), "L"),
    "CMYK": "CMYK",
}
"""What pixels of a mode are to a profile; all others are RGB, palettes included."""
_PROFILE_MODES: Final = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Source: ICC.1:2022, table 19, colour spaces of the pixels that a profile describes."""


class ColorConversion(NamedTuple):
    """How to bring pixels to sRGB.

    Attributes:
        mode: Of what it takes: L, RGB or CMYK.
        transform: To RGB. May be shared by threads.
    """

    mode: str
    transform: ImageCms.ImageCmsTransform

    def apply(self, image: Image.Image) -> Image.Image:
        """Return an image of any opaque mode as sRGB, in mode RGB."""
        converted = image if image.mode == self.mode else image.convert(self.mode)
        return self.transform.apply(converted)


def conversion_to_srgb(image: Image.Image) -> ColorConversion | None:
    """Return what the image's ICC profile does to its pixels, None where it changes nothing.

    A profile of another kind of pixels (CMYK in an RGB file, left over by whoever converted it)
    says nothing about these, and is left out, as viewers do. One of RGB in a grey picture counts.

    Raises:
        UnsupportedImageError: There is a profile, and it cannot be read.
    """
    if "icc_profile" not in image.info:
        return None
    profile = image.info["icc_profile"]
    if not profile and profile is not None:
        return None
    try:
        return _conversion(bytes(profile), _PIXEL_KINDS.get(image.mode, "RGB"))
    except Exception as exc:  # ImageCms raises its own, and all kinds on what is no profile
        reason = "it is incomplete" if profile is None else f"{type(exc).__name__}: {exc}"
        raise UnsupportedImageError(
            f"the picture's colours are described by an ICC profile that cannot be read ({reason})"
            "; convert it to sRGB, or save it without the profile if its colours are sRGB"
        ) from exc


@functools.lru_cache(maxsize=_CACHED_PROFILES)
def _conversion(profile: bytes, pixels: str) -> ColorConversion | None:
    described = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = _PROFILE_MODES.get(described.profile.xcolor_space)
    if mode is None or (mode != pixels and (mode, pixels) != ("RGB", "L")):
        return None
    srgb = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(described, srgb, mode, "RGB", _INTENT, _FLAGS)
    if mode != "CMYK" and not _moves_colors(transform, _probe_colors(pixels), mode):
        return None
    return ColorConversion(mode, transform)


def _probe_colors(pixels: str) -> Image.Image:
    """Return all 256 greys and, for RGB, a cube of 5832 colours, as one row in mode RGB."""
    greys = bytes(level for grey in range(256) for level in (grey,) * 3)
    levels = range(0, 256, _CUBE_STEP) if pixels == "RGB" else ()
    cube = bytes(level for r in levels for g in levels for b in levels for level in (r, g, b))
    return Image.frombytes("RGB", (256 + len(levels) ** 3, 1), greys + cube)


def _moves_colors(transform: ImageCms.ImageCmsTransform, colors: Image.Image, mode: str) -> bool:
    before = colors.tobytes()
    after = transform.apply(colors if mode == "RGB" else colors.convert(mode)).tobytes()
    return any(abs(a - b) > SRGB_TOLERANCE for a, b in zip(before, after, strict=True))
