"""Class maps as PNG files."""

from __future__ import annotations

import errno
import io
import os
import uuid
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from .._errors import ConfigurationError


def png_bytes(image: Image.Image) -> bytes:
    """Return an image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def write_png(image: Image.Image, path: str | os.PathLike[str] | BinaryIO) -> None:
    """Write an image into an open file, or to a path, where it appears whole or not at all.

    Raises:
        ConfigurationError: `path` does not end in .png.
        OSError: The file cannot be written.
    """
    if not isinstance(path, (str, os.PathLike)):
        image.save(path, format="PNG")
        return
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise ConfigurationError(f"path must end in .png, got '{target}'")
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder to write into", str(target.parent))
    partial = target.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        image.save(partial, format="PNG")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
