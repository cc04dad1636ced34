"""SHA-256 of files of any size, and whether a file is the one that was built."""

from __future__ import annotations

import hashlib
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def exchanged(path: Path, digest: str) -> str | None:
    """Return what is wrong with a built file, to be put behind its name, or None if it is as built.

    Args:
        path: Where it should lie.
        digest: Its SHA-256 when it was built.
    """
    if not path.is_file():
        return "is missing"
    if sha256_of(path) != digest:
        return "is not the file that was built (its SHA-256 differs)"
    return None
