"""How much memory reading a picture takes at most, for every format, against its pixels.

    PYTHONPATH=tests/support python scripts/picture_memory.py [--megapixels 30] [NAME ...]

Each picture is read in a process of its own, after a small one of the same kind, so that what
libraries take once does not count. Ends with 1 if a picture takes more than six times its pixels.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from icc_profiles import DISPLAY_P3

MOST = 6.0
"""Times the bytes of the pixels: 3 each, and 4 where they have alpha."""
CHILD = """
import json, pathlib, re, sys
import tritonseg

def peak():  # not ru_maxrss, in which the parent's counts, too
    return int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])

small, large, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
strict = options.pop("strict", False)
limits = tritonseg.ImageLimits(max_bytes=10**9, max_pixels=10**8, strict=strict)
tritonseg.load_image(small, limits=limits, **options)
before = peak()
read = tritonseg.load_image(large, limits=limits, **options)
print((peak() - before) * 1024 / read.nbytes)
"""

Make = Callable[[Image.Image], tuple[bytes, dict[str, Any]]]


def saved(
    format: str, mode: str = "RGB", options: dict[str, Any] | None = None, **encoding: Any
) -> Make:
    """Return what makes a file in a format."""

    def make(picture: Image.Image) -> tuple[bytes, dict[str, Any]]:
        buffer = io.BytesIO()
        converted = picture.convert(mode)
        if mode == "RGBA":  # or encoders leave it out
            converted.putalpha(Image.linear_gradient("L").resize(picture.size))
        converted.save(buffer, format, **encoding)
        return buffer.getvalue(), dict(options or {})

    return make


def of_values(dtype: str) -> Make:
    """Return what makes a TIFF of grey values."""

    def make(picture: Image.Image) -> tuple[bytes, dict[str, Any]]:
        buffer = io.BytesIO()
        values = np.asarray(picture.convert("L")).astype(dtype) * 16
        Image.fromarray(values).save(buffer, "TIFF")
        return buffer.getvalue(), {"value_range": (0, 4095)}

    return make


def kinds() -> dict[str, Make]:
    """Return what makes each kind of file that can be made here."""
    exif = Image.Exif()
    exif[0x0112] = 6
    found: dict[str, Make] = {
        "JPEG": saved("JPEG"),
        "JPEG, turned": saved("JPEG", exif=exif),
        "JPEG, progressive": saved("JPEG", progressive=True),
        "JPEG, strict": saved("JPEG", options={"strict": True}),
        "JPEG, CMYK": saved("JPEG", "CMYK"),
        "JPEG, Display P3": saved("JPEG", icc_profile=DISPLAY_P3),
        "PNG": saved("PNG", compress_level=1),
        "PNG, grey": saved("PNG", "L", compress_level=1),
        "PNG, palette": saved("PNG", "P", compress_level=1),
        "PNG, alpha": saved("PNG", "RGBA", compress_level=1),
        "PNG, alpha, Display P3": saved("PNG", "RGBA", compress_level=1, icc_profile=DISPLAY_P3),
        "BMP": saved("BMP"),
        "TIFF": saved("TIFF"),
        "TIFF, LZW": saved("TIFF", compression="tiff_lzw"),
        "TIFF, turned": saved("TIFF", exif=exif),
        "TIFF, 16-bit grey": of_values("uint16"),
        "TIFF, float": of_values("float32"),
        "WebP": saved("WEBP", method=0),
        "WebP, alpha": saved("WEBP", "RGBA", method=0),
        "WebP, alpha, turned": saved("WEBP", "RGBA", method=0, exif=exif),
    }
    if "avif" in features.get_supported():
        found["AVIF"] = saved("AVIF", speed=10)
        found["AVIF, turned"] = saved("AVIF", speed=10, exif=exif)
        found["AVIF, alpha"] = saved("AVIF", "RGBA", speed=10)
    try:
        import pillow_heif
    except ImportError:
        return found
    pillow_heif.register_heif_opener()
    found["HEIC"] = saved("HEIF", quality=50)
    found["HEIC, alpha"] = saved("HEIF", "RGBA", quality=50)
    return found


def measure(name: str, picture: Image.Image, folder: Path) -> float:
    """Return the peak while a picture is read, as a multiple of its pixels' bytes."""
    make, channels = kinds()[name], 4 if "alpha" in name else 3
    small, large = folder / "small", folder / "large"
    encoded, options = make(picture.resize((64, 64)))
    small.write_bytes(encoded)
    large.write_bytes(make(picture)[0])
    command = [sys.executable, "-c", CHILD, str(small), str(large), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout) * 3 / channels


def drawn(megapixels: float) -> Image.Image:
    """Return a picture that is neither flat nor noise."""
    side = round((megapixels * 1e6) ** 0.5)
    coarse = np.random.default_rng(0).integers(
        0, 256, (side // 40 + 1, side // 40 + 1, 3), np.uint8
    )
    return Image.fromarray(coarse).resize((side, side))


def main() -> None:
    """Print a line for every kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", type=float, default=30)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    picture, is_over = drawn(arguments.megapixels), False
    for name in kinds():
        if arguments.names and name not in arguments.names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            times = measure(name, picture, Path(folder))
        is_over |= times > MOST
        print(f"{times:5.2f} × the pixels: {name}", flush=True)  # noqa: T201
    raise SystemExit(is_over)


if __name__ == "__main__":
    main()
