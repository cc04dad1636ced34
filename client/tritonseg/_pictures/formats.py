"""Which format a file is in, and Pillow's decoder for it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from PIL import (
    BmpImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)
from PIL import __version__ as pillow_version

from .._errors import ImageDecodeError

Decoder: TypeAlias = Callable[[io.BytesIO], ImageFile.ImageFile]

# The decoders are called directly, not through Image.open: that one compares the size with the
# process-wide Image.MAX_IMAGE_PIXELS, and answers with a warning that no thread can catch for
# itself alone; and it turns a photo with an embedded preview into a picture of two frames.
_DECODERS: Final[dict[str, Decoder]] = {
    "BMP": BmpImagePlugin.BmpImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}

_SIGNATURES: Final[dict[bytes, str]] = {
    b"BM": "BMP",
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}

# Source: ISO/IEC 23008-12, annexes B and D, and the AV1 Image File Format, section 6: brands.
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
)
_MOST_BRANDS_BYTES: Final = 256


def identify_format(encoded: bytes) -> str | None:
    """Return a file's format by Pillow's name, None where it is none that is decoded."""
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "WEBP"
    if encoded[4:8] == b"ftyp":
        return _identify_brand(encoded)
    matches = (name for prefix, name in _SIGNATURES.items() if encoded.startswith(prefix))
    return next(matches, None)


def _identify_brand(encoded: bytes) -> str | None:
    end = min(int.from_bytes(encoded[:4], "big"), len(encoded), _MOST_BRANDS_BYTES)
    # The major brand comes first, then a version, then the brands that it is compatible with.
    for start in (8, *range(16, end - 3, 4)):
        brand = encoded[start : start + 4]
        if brand in _AVIF_BRANDS:
            return "AVIF"
        if brand in _HEIF_BRANDS:
            return "HEIF"
    return None


def find_decoder(name: str) -> Decoder:
    """Return the decoder of a format.

    Raises:
        ImageDecodeError: It is not installed.
    """
    if name == "AVIF":
        return _find_avif()
    return _find_heif() if name == "HEIF" else _DECODERS[name]


def _find_avif() -> Decoder:
    # Not features.check("avif"): in older releases of Pillow the question itself is a warning.
    if "avif" not in features.get_supported():
        raise ImageDecodeError(
            f"the picture is an AVIF, which Pillow {pillow_version} here cannot read; its wheels "
            "from 11.3 on can: pip install 'pillow>=11.3'"
        )
    from PIL import AvifImagePlugin

    return AvifImagePlugin.AvifImageFile


def _find_heif() -> Decoder:
    try:
        import pi_heif
    except ImportError as exc:
        raise ImageDecodeError(
            f"the picture is a HEIC, which needs pi-heif ({exc}): pip install pi-heif, which is "
            "what tritonseg's extra [heif] brings"
        ) from exc
    decoder: Any = pi_heif.HeifImageFile
    return decoder  # type: ignore[no-any-return]
