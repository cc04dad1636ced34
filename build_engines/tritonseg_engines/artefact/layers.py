"""Layers of an image: the same files always give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, cast

from tritonseg_engines.checksum import sha256_of

MODELS_FOLDER: Final = "models"
"""Where the repository lies in the image. Source: KServe, "Serving Models with OCI Images"."""
SBOM_FILE: Final = "sbom.cdx.json"
COMPRESSION: Final = 1
"""zlib's fastest: weights hardly become smaller, whatever it takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A layer as a file.

    Attributes:
        path: Where it lies.
        digest: `sha256:` of the file.
        diff_id: The same of what is in the gzip.
        size: Of the file, in bytes.
        unpacked_size: Of what is in the gzip, in bytes.
    """

    path: Path
    digest: str
    diff_id: str
    size: int
    unpacked_size: int


def repository_layer(repository: Path, files: Iterable[str], path: Path) -> Layer:
    """Write files of a repository as a layer with `MODELS_FOLDER`."""
    sources = {f"{MODELS_FOLDER}/{name}": repository / name for name in files}
    return _layer(path, lambda tar: _add_files(tar, sources))


def document_layer(name: str, content: bytes, path: Path) -> Layer:
    """Write one file at the root of the image as a layer."""
    return _layer(path, lambda tar: tar.addfile(_entry(name, len(content)), io.BytesIO(content)))


def _add_files(tar: tarfile.TarFile, sources: Mapping[str, Path]) -> None:
    folders = {folder for name in sources for folder in PurePosixPath(name).parents}
    names = {folder.as_posix() for folder in folders} - {"."}
    for name in sorted({*names, *sources}):
        if name in names:
            tar.addfile(_entry(name))
        else:
            with sources[name].open("rb") as file:
                tar.addfile(_entry(name, sources[name].stat().st_size), file)


def _entry(name: str, size: int | None = None) -> tarfile.TarInfo:
    """Return a file's header, or a folder's: everybody may read, nobody in particular owns it."""
    entry = tarfile.TarInfo(name)
    entry.mode = 0o755 if size is None else 0o644
    entry.type = tarfile.DIRTYPE if size is None else tarfile.REGTYPE
    entry.size = size or 0
    return entry


def _layer(path: Path, write: Callable[[tarfile.TarFile], None]) -> Layer:
    # No name and no time in the header, which would differ each time.
    with path.open("wb") as file, gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0) as packed:
        counted = _Counted(packed)
        with tarfile.open(fileobj=cast(BinaryIO, counted), mode="w|") as tar:
            write(tar)
    return Layer(
        path=path,
        digest=f"sha256:{sha256_of(path)}",
        diff_id=f"sha256:{counted.sha256.hexdigest()}",
        size=path.stat().st_size,
        unpacked_size=counted.size,
    )


class _Counted:
    """What is written goes on, and is counted and digested."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, content: bytes) -> int:
        self.sha256.update(content)
        self.size += len(content)
        return self._file.write(content)
