"""The weights of a zoo model from wherever the user says: upstream, a URL, or a file."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tritonseg_engines import zoo
from tritonseg_engines.checkpoints.download import CHUNK_BYTES, ReceivedBytes, download
from tritonseg_engines.errors import CheckpointError
from tritonseg_engines.zoo.published import PUBLISHED_CHECKPOINTS, PublishedCheckpoint

UPSTREAM = "upstream"
CACHE_VARIABLE = "TRITONSEG_CACHE"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def default_cache() -> Path:
    """Return `$TRITONSEG_CACHE`, else `tritonseg` in the user's cache folder."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tritonseg"


def locate_weights(
    name: str, weights: str, cache_dir: Path | None = None, progress: ReceivedBytes | None = None
) -> Path:
    """Return the file that `--weights` means, downloading it where needed.

    Args:
        name: Name of a zoo model.
        weights: "upstream", a URL of http or https, or a path.
        cache_dir: Where downloads are kept; `default_cache()` unless given.
        progress: Told how far a download is.

    Raises:
        SpecificationError: There is no such model.
        CheckpointError: The download failed, or there is no such file.
    """
    cache_dir = cache_dir or default_cache()
    if weights == UPSTREAM:
        return fetch_upstream(name, cache_dir, progress)
    if "://" in weights:
        return fetch_url(weights, cache_dir, progress)
    path = Path(weights)
    if not path.is_file():
        raise CheckpointError(
            f"{weights}: no such file; expected {UPSTREAM!r}, a URL, or the path of a weights file"
        )
    return path


def fetch_upstream(name: str, cache_dir: Path, progress: ReceivedBytes | None = None) -> Path:
    """Return the published weights of a zoo model, downloaded once.

    Args:
        name: Name of a zoo model.
        cache_dir: Where downloads are kept.
        progress: Told how far the download is.

    Raises:
        SpecificationError: There is no such model.
        CheckpointError: The link needs a browser (the message says what to fetch), the download
            failed, or the file is not the published one.
    """
    published = PUBLISHED_CHECKPOINTS[zoo.published_spec(name).name]
    if published.manual_download:
        other = f" (or {published.alternative})" if published.alternative else ""
        raise CheckpointError(
            f"{name}: its publisher's link needs a browser. Open {published.url}{other}, save "
            f"{published.file_name}, and give its path: --weights {published.file_name}"
        )
    target = cache_dir / name / published.file_name
    prove = functools.partial(prove_published, published)
    download(published.url, target, prove=prove, progress=progress)
    return target


def fetch_url(url: str, cache_dir: Path, progress: ReceivedBytes | None = None) -> Path:
    """Return the file at a URL, downloaded once; without a digest, nothing proves it.

    Args:
        url: http or https.
        cache_dir: Where downloads are kept.
        progress: Told how far the download is.

    Raises:
        CheckpointError: The download failed.
    """
    file_name = _UNSAFE.sub("_", unquote(urlsplit(url).path).rpartition("/")[2]).lstrip(".")
    folder = hashlib.sha256(url.encode()).hexdigest()[:16]
    target = cache_dir / "urls" / folder / (file_name or "weights")
    download(url, target, prove=lambda path: None, progress=progress)
    return target


def prove_published(published: PublishedCheckpoint, path: Path) -> None:
    """Check length and digests of a downloaded file as far as they were published.

    Raises:
        CheckpointError: One differs; the message has both sides.
    """
    size, sha256, sha384 = _digests(path)
    for what, expected, actual in (
        ("bytes", published.size_bytes, size),
        ("SHA-384", published.sha384, sha384),
        ("beginning of the SHA-256", published.sha256_prefix,
         sha256[: len(published.sha256_prefix or "")]),
    ):  # fmt: skip
        if expected is not None and expected != actual:
            raise CheckpointError(
                f"{published.url}: expected {what} {expected}, got {actual}; nothing was kept. "
                "Try again; if it stays so, the publisher has replaced the file"
            )


def _digests(path: Path) -> tuple[int, str, str]:
    size, sha256, sha384 = 0, hashlib.sha256(), hashlib.sha384()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            size += len(chunk)
            sha256.update(chunk)
            sha384.update(chunk)
    return size, sha256.hexdigest(), sha384.hexdigest()
